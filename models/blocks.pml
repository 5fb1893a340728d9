/* SPDX-License-Identifier: MIT */
/*
 * Turns at one region of a disk whose sectors are smaller than its blocks, access by access, with
 * the names of src/disk/blocks.c: WRITES writes, of which WHOLE are of whole blocks, each in a
 * thread of its own, all of them over the same block. models/run says with which constants it is
 * searched, and which mutation of it must fail how.
 *
 * What is proved:
 *   ALONE  a write of a part of the block has it for itself
 *   LOST   no write waits for ever
 */
#ifndef WRITES
#define WRITES 4
#endif
#ifndef WHOLE
#define WHOLE 2
#endif

byte whole, parts; /* of the bucket */
bit mutex;
byte place[WRITES]; /* in the list: the order they came; 0: not in it */
byte next_place = 1;
bool held[WRITES];
byte wholes_busy, parts_busy;

inline take_mutex()
{
	atomic { mutex == 0 -> mutex = 1 }
}

inline give_mutex()
{
	mutex = 0
}

/* Into ok. The list itself changes under the mutex only. */
inline is_free(r)
{
#ifdef MUT_PART_DOES_NOT_LOOK
	ok = true;
#else
	ok = r < WHOLE || whole == 0;
#endif
	d_step {
		j = 0;
		do
		:: j < WRITES ->
			if
			:: place[j] && place[j] < place[r] && (r >= WHOLE || j >= WHOLE) -> ok = false
			:: else
			fi;
			j++
		:: else -> break
		od;
		j = 0
	}
}

/* Of those whose place is after that one. */
inline grant(after)
{
	k = 0;
	do
	:: k < WRITES ->
		if
		:: place[k] > after && !held[k] ->
			is_free(k);
			held[k] = ok;
			ok = false
		:: else
		fi;
		k++
	:: else -> break
	od;
	k = 0
}

proctype write(byte r)
{
	byte j, k, seen;
	bool ok, counted;

	if
	:: r < WHOLE ->
		/* enter_whole */
		whole++;
		seen = parts;
#ifdef MUT_WHOLE_DOES_NOT_LOOK
		seen = 0;
#endif
		if
		:: seen == 0 -> counted = true
		:: else ->
			take_mutex();
			whole--;
#ifndef MUT_JOINS_IN_SILENCE
			grant(0);
#endif
			give_mutex()
		fi;
		seen = 0
	:: else
	fi;
	if
	:: counted ->
		atomic { assert(parts_busy == 0); wholes_busy++ }
		wholes_busy--;
		/* leave_whole */
		whole--;
#ifndef MUT_LEAVES_IN_SILENCE
		seen = parts;
#endif
		if
		:: seen -> take_mutex(); grant(0); give_mutex()
		:: else
		fi
	:: else ->
		take_mutex();
#ifdef MUT_LOOKS_BEFORE_IT_IS_SEEN
		atomic { place[r] = next_place; next_place++ }
		is_free(r);
		held[r] = ok;
		parts = parts + (r >= WHOLE);
#else
		parts = parts + (r >= WHOLE);
		atomic { place[r] = next_place; next_place++ }
		is_free(r);
		held[r] = ok;
#endif
		give_mutex();
		held[r];
		if
		:: r < WHOLE ->
			atomic { assert(parts_busy == 0); wholes_busy++ }
			wholes_busy--
		:: else ->
			atomic { assert(parts_busy + wholes_busy == 0); parts_busy++ }
			parts_busy--
		fi;
		take_mutex();
		atomic { seen = place[r]; place[r] = 0; held[r] = false }
		parts = parts - (r >= WHOLE);
		grant(seen);
		give_mutex()
	fi
}

init
{
	byte i;

	atomic {
		do
		:: i < WRITES -> run write(i); i++
		:: else -> break
		od
	}
}
