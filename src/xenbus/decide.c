/* SPDX-License-Identifier: MIT */
/* The life cycle of a device as a table: one function per state of the back end. */
#include "xenbus/decide.h"

#include "xen/store.h"

static bool has_worker(const struct snapshot *s)
{
	return s->image == IMAGE_OPENING || s->image == IMAGE_OPEN || s->image == IMAGE_FAILED;
}

/* Towards an idle ring; ACT_NOTHING while it drains and once it is idle. */
static enum action quiet(const struct snapshot *s)
{
	if (s->ring == RING_IDLE || s->ring == RING_DISCONNECTING)
		return ACT_NOTHING;
	return ACT_DISCONNECT_RING;
}

static enum action open_image(const struct snapshot *s)
{
	if ((s->image == IMAGE_NONE || s->image == IMAGE_CLOSED) && s->source_ready)
		return ACT_OPEN_IMAGE;
	return ACT_NOTHING;
}

/* After Closed somebody else may open the image, perhaps on another host, and must not meet the I/O
 * of a dead worker. That the next worker gets the image's lock proves that there is none. */
static bool fence_first(const struct snapshot *s)
{
	return s->unfenced && !s->force && s->image != IMAGE_OPEN && s->image != IMAGE_FAILED;
}

/* The ring drained, then Closed. With online=0 the image is closed before: what waits for Closed
 * is the toolstack's script that removes the image's device, or a new domain that opens it. */
static enum action close_down(const struct snapshot *s)
{
	if (s->ring != RING_IDLE)
		return quiet(s);
	/* Time is up or not: it would write to what somebody else has by then. */
	if (s->hangs)
		return ACT_NOTHING;
	if (fence_first(s))
		return open_image(s);
	if (!s->online) {
		if (s->image == IMAGE_CLOSING)
			return ACT_NOTHING;
		if (has_worker(s))
			return ACT_RELEASE;
	}
	return ACT_WRITE_CLOSED;
}

/* The front end is ready: both halves, in whatever order they come. */
static enum action bring_up(const struct snapshot *s)
{
	/* What a dead worker left is the other host's now: it is not done again. Nor is the disk
	 * closed, because the guest may come back. */
	if (s->away && s->ours == XS_CONNECTED && s->ring == RING_IDLE)
		return ACT_NOTHING;
	if (s->held && s->ours == XS_CONNECTED)
		return ACT_NOTHING;
	if (s->ring == RING_FAILED || (s->ring == RING_CONNECTED && s->ring_changed))
		return ACT_DISCONNECT_RING;
	if (s->image != IMAGE_OPEN)
		return open_image(s);
	if (s->ring == RING_IDLE)
		return s->later ? ACT_NOTHING : ACT_CONNECT_RING;
	if (s->ring == RING_CONNECTED && s->ours != XS_CONNECTED)
		return ACT_WRITE_CONNECTED;
	return ACT_NOTHING;
}

static enum action in_gone(const struct snapshot *s)
{
	if (s->ring != RING_IDLE)
		return quiet(s);
	if (has_worker(s))
		return ACT_RELEASE;
	return s->image == IMAGE_CLOSING ? ACT_NOTHING : ACT_REMOVE;
}

/* InitWait, and Initialised, which we do not use ourselves. */
static enum action in_initwait(const struct snapshot *s)
{
	if (s->retake && s->ring == RING_IDLE)
		return ACT_ADVERTISE;
	if (s->fatal)
		return ACT_FATAL_STATE;
	switch (s->theirs) {
	case XS_UNKNOWN:
		return s->fe_seen ? close_down(s) : open_image(s);
	case XS_INITIALISING:
		/* A ring from before it went back here is not the one that it will offer. */
		return s->ring != RING_IDLE ? quiet(s) : open_image(s);
	case XS_INITIALISED:
	case XS_CONNECTED:
		return bring_up(s);
	case XS_CLOSING:
		return ACT_WRITE_CLOSING;
	case XS_CLOSED:
		return close_down(s);
	}
	return ACT_FATAL_STATE;
}

static enum action in_connected(const struct snapshot *s)
{
	if (s->fatal)
		return ACT_FATAL_STATE;
	switch (s->theirs) {
	case XS_INITIALISED:
	case XS_CONNECTED:
		return bring_up(s);
	case XS_CLOSING:
		/* The ring goes on: it may still have something to write. */
		return ACT_WRITE_CLOSING;
	case XS_INITIALISING:
		/* A new kernel, or one that was reset while no worker was there to answer: it
		 * waits for InitWait, and will offer another ring. */
	case XS_CLOSED:
	case XS_UNKNOWN:
		return close_down(s);
	}
	return ACT_FATAL_STATE;
}

static enum action in_closing(const struct snapshot *s)
{
	if (s->theirs == XS_CLOSED || s->theirs == XS_UNKNOWN)
		return close_down(s);
	if (!s->online) {
		bool nothing_to_close = s->theirs >= XS_INITIALISING && s->theirs <= XS_INITIALISED;
		return nothing_to_close || s->force ? close_down(s) : ACT_NOTHING;
	}
	/* Back at the start already: its Closed was missed. */
	if (s->theirs == XS_INITIALISING && !s->fatal)
		return close_down(s);
	return ACT_NOTHING;
}

static enum action in_closed(const struct snapshot *s)
{
	if (!s->online) {
		if (s->ring != RING_IDLE)
			return quiet(s);
		return has_worker(s) ? ACT_RELEASE : ACT_NOTHING;
	}
	switch (s->theirs) {
	case XS_INITIALISING:
		return s->ring != RING_IDLE ? quiet(s) : ACT_ADVERTISE;
	case XS_INITIALISED:
	case XS_CONNECTED:
		return s->fatal ? quiet(s) : bring_up(s);
	case XS_CLOSING:
		return ACT_WRITE_CLOSING;
	}
	return quiet(s);
}

/* Another driver has it: two would write over each other, so hands off, until the driver lets go.
 */
static enum action in_foreign(const struct snapshot *s)
{
	if (s->ring != RING_IDLE)
		return quiet(s);
	return has_worker(s) ? ACT_RELEASE : ACT_NOTHING;
}

enum action decide(const struct snapshot *s)
{
	/* A ring that is connected stays so while that driver has not changed the state. */
	if (s->foreign && !s->force && s->ours != XS_UNKNOWN &&
	    !(s->ours == XS_CONNECTED && s->ring == RING_CONNECTED))
		return in_foreign(s);
	switch (s->ours) {
	case XS_UNKNOWN:
		return in_gone(s);
	case XS_INITIALISING:
		return ACT_ADVERTISE;
	case XS_INITWAIT:
	case XS_INITIALISED:
		return in_initwait(s);
	case XS_CONNECTED:
		return in_connected(s);
	case XS_CLOSING:
		return in_closing(s);
	case XS_CLOSED:
		return in_closed(s);
	}
	return ACT_NOTHING;
}

bool decide_holds(int ours, int theirs)
{
	/* It is leaving, has left, or comes again with another ring. */
	bool over = theirs == XS_UNKNOWN || theirs == XS_INITIALISING || theirs == XS_CLOSING ||
	            theirs == XS_CLOSED;

	return ours == XS_CONNECTED && !over;
}

const char *image_phase_name(enum image_phase p)
{
	switch (p) {
	case IMAGE_NONE:
		return "none";
	case IMAGE_OPENING:
		return "opening";
	case IMAGE_OPEN:
		return "open";
	case IMAGE_FAILED:
		return "failed";
	case IMAGE_CLOSING:
	case IMAGE_CLOSED:
		return "closed";
	}
	return "?";
}

const char *ring_phase_name(enum ring_phase p)
{
	switch (p) {
	case RING_IDLE:
		return "idle";
	case RING_CONNECTING:
		return "connecting";
	case RING_CONNECTED:
		return "connected";
	case RING_DISCONNECTING:
		return "disconnecting";
	case RING_FAILED:
		return "failed";
	}
	return "?";
}

const char *action_name(enum action a)
{
	switch (a) {
	case ACT_NOTHING:
		return "nothing";
	case ACT_ADVERTISE:
		return "advertise";
	case ACT_OPEN_IMAGE:
		return "open image";
	case ACT_CONNECT_RING:
		return "connect ring";
	case ACT_WRITE_CONNECTED:
		return "write Connected";
	case ACT_DISCONNECT_RING:
		return "disconnect ring";
	case ACT_WRITE_CLOSING:
		return "write Closing";
	case ACT_WRITE_CLOSED:
		return "write Closed";
	case ACT_RELEASE:
		return "release";
	case ACT_REMOVE:
		return "remove";
	case ACT_FATAL_STATE:
		return "fatal";
	}
	return "?";
}
