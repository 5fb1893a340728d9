/* SPDX-License-Identifier: MIT */
/* What the process inherited of signals and limits. */
#ifndef WORKER_INHERITED_H
#define WORKER_INHERITED_H

/* Undoes it. Once, before faults_init. */
void inherited_reset(void);
/* Few descriptors from now on. Once, before a guest is met, and after the claim was put into its
 * parcel: the kernel then compares the limit with all that the user has in parcels. */
void inherited_lower_files(void);

#endif
