/* SPDX-License-Identifier: MIT */
/*
 * The crash protocol of one ring, store by store, with the names of src/disk/journal.c and
 * src/disk/ring_side.c: take, answer, publish, sleep, recover, and a supervisor that kills the
 * worker before any store, also while it recovers. models/run says with which constants it is
 * searched, and which mutation of it must fail how.
 *
 * Counters (seq, cons, rsp) run from BASE and never wrap, as the journal's 64 bit do. What stands
 * in the ring is their low part, U(): M is a small multiple of N in place of 2^32, and BASE lies
 * just below it, so that the indices of the ring wrap in the middle of each run.
 *
 * What is proved: an assertion for each, and no state in which the guest waits for ever.
 *   LOST     no request is lost: the guest gets all its answers, and none without execution
 *   TWICE    none is published twice, and the guest gets one answer to each
 *   LATE     none is executed after the journal calls it ANSWERED, so none after it was published
 *   OVERLAP  none is executed after a later write to the same block was published
 *   ORDER    a barrier is executed after all before it, and before all after it
 *   ROOM     there is a free slot for every request that is taken
 *   HONEST   the ring of an honest guest is never stopped
 * Of a guest that tampers, LATE, ORDER and ROOM hold all the same; OVERLAP as long as it never had
 * two writes to the block in flight (the journal's word counts for that, not the ring's); TWICE, as
 * far as it speaks of publishing, until a worker found another rsp_prod than the last one stored.
 * LOST and what the guest gets are its own affair. OFF_OVERLAP and OFF_TWICE take an assertion out:
 * models/run shows with them that no other one finds the same mutation.
 *
 * A d_step is one transition. It holds at most one store that the guest or a successor can see: a
 * slot's fields count from the store of its state on. What nobody reads any more is set to 0, which
 * keeps states few.
 */
#ifndef N
#define N 2 /* ring slots = journal slots */
#endif
#ifndef M
#define M 8 /* modulus of the ring's indices: at least 4 N, for comparisons have half of it */
#endif
#ifndef BASE
#define BASE (M - 2)
#endif
#ifndef R
#define R 4 /* requests of the guest */
#endif
#ifndef KILLS
#define KILLS 2
#endif
#ifndef TAMPER
#define TAMPER 0 /* stores of a hostile guest to the indices */
#endif
#ifndef KINDS
#define KINDS 3
#endif

#define U(x) ((x) & (M - 1))
#define BIT(i) (1 << (i))
#define BELOW(i) (BIT(i) - 1)
#define ABOVE(mask, i) ((mask) >> ((i) + 1))
#define NOBODY 2

/* Kinds: of a block of its own, so in any order; a write to the one block; a barrier. */
#define OTHER 0
#define WRITE 1
#define BARRIER 2

#define FREE 0
#define TAKEN 1
#define ANSWERED 2

/* ---- the shared ring ---- */
typedef ring_slot {
	bit is_rsp;
	byte id; /* of the guest's request */
	byte kind
};
ring_slot ring[N];
byte req_prod = U(BASE), req_event = U(BASE + 1);
byte rsp_prod = U(BASE), rsp_event = U(BASE + 1);
bit bound, ev_back, ev_front; /* event channel: back end's port bound; pending, either way */

/* ---- struct journal ---- */
typedef journal_slot {
	byte state;
	byte seq;
	byte rsp;
	byte id, kind /* raw */
};
journal_slot slot[N];
byte h_cons = BASE, h_rsp = BASE;
bit h_stopped;

/* ---- the storage: operations under way; all masks are by seq - BASE ---- */
int inflight;  /* of the worker that lives */
int completed; /* done, not reaped yet */
int late;      /* of dead workers: may reach the disk at any time still */

/* ---- processes ---- */
byte owner = NOBODY; /* flock on the journal */
byte current;        /* the worker that the supervisor started last */
bit started[2], killing[2];
byte kills;

/* ---- what the properties speak of; no part of the program ---- */
int is_write, is_barrier; /* taken, not published */
int executed;
int answered; /* ANSWERED in the journal at some time */
int published;
int writes;  /* published WRITEs */
int answers; /* by the guest's id: what it consumed */
#if TAMPER
int since;     /* WRITEs taken since the last barrier */
bit own;       /* the guest had two of them in flight */
byte stored = U(BASE); /* rsp_prod, as a worker stored it last */
bit fooled;    /* a worker has found another one */
#else
#define own false
#define fooled false
#endif

inline execute(i) /* the operation of request i reaches the disk */
{
	assert(!(answered & BIT(i)));                             /* LATE */
#ifndef OFF_OVERLAP
	assert(own || !(is_write & BIT(i)) || !ABOVE(writes, i)); /* OVERLAP */
#endif
	assert(!(is_barrier & BIT(i)) ||
	       (executed & BELOW(i)) == BELOW(i) && !ABOVE(executed, i)); /* ORDER */
	executed = executed | BIT(i)
}

active proctype storage()
{
	byte i;

end:	do
	:: atomic { inflight ->
		do
		:: inflight & BIT(i) -> break
		:: ABOVE(inflight, i) -> i++
		od;
		d_step { execute(i); inflight = inflight & ~BIT(i); completed = completed | BIT(i); i = 0 } }
	:: atomic { late ->
		do
		:: late & BIT(i) -> break
		:: ABOVE(late, i) -> i++
		od;
		d_step { execute(i); late = late & ~BIT(i); i = 0 } }
	od
}

/* ---- the back end ---- */

/* Local view of a slot: struct request. */
#define L_FREE 0
#define L_WAITING 1  /* q->waiting */
#define L_STARTED 2  /* counted in q->inflight */
#define L_ANSWERED 3 /* q->answered */

/* i = the first slot for which COND(i), or N. Inside a d_step. */
#define FIND(COND) \
	i = 0; \
	do \
	:: i < N && !COND(i) -> i++ \
	:: else -> break \
	od

#define CUT_OFF(x) (slot[x].state == TAKEN && slot[x].seq == h_cons)
#define OLD(x) (slot[x].state == ANSWERED && slot[x].rsp < h_rsp)
#define REWRITE(x) (slot[x].state == ANSWERED && slot[x].rsp == pvt)
#define UNUSED(x) (ls[x] == L_FREE)
#define TO_FREE(x) (ls[x] == L_ANSWERED)
#define DONE(x) (ls[x] == L_STARTED && (completed & BIT(slot[x].seq - BASE)))

/* For an i that FIND left: does it, and whether there was none is told by i == N. */
#define IF_FOUND(DO) \
	if \
	:: i < N -> DO \
	:: else \
	fi

#define MAKE_FREE(x) \
	slot[x].state = FREE; slot[x].seq = 0; slot[x].rsp = 0; slot[x].id = 0; slot[x].kind = 0; \
	ls[x] = L_FREE

/* One journal_free a step, of each slot for which COND. */
#define FREE_EACH(COND) \
	do \
	:: atomic { d_step { FIND(COND); IF_FOUND(MAKE_FREE(i)) } \
		if \
		:: i < N -> i = 0 \
		:: else -> i = 0; break \
		fi } \
	od

#ifdef MUT_ID_FROM_RING /* which another's answer may stand in by now */
#define ID_OF(x) ring[U(slot[x].seq) % N].id
#else
#define ID_OF(x) slot[x].id
#endif

/* The ring slot of index pvt gets the answer of slot i. */
#define PUT_RSP \
	ring[U(pvt) % N].is_rsp = 1; ring[U(pvt) % N].id = ID_OF(i); ring[U(pvt) % N].kind = 0

/* publish(), steps 2 to 5; always: queue_replay's */
inline publish(always)
{
	/* 2: the commit. What the guest sees from here on counts as answered. */
	atomic { true; d_step {
		rsp_prod = U(pvt);
#if TAMPER
		stored = rsp_prod;
#endif
		i = 0;
		do
		:: i < N && ls[i] == L_ANSWERED ->
			k = slot[i].seq - BASE;
			assert(executed & BIT(k)); /* LOST */
#ifndef OFF_TWICE
			assert(fooled || !(published & BIT(k))); /* TWICE */
#endif
			published = published | BIT(k);
			if
			:: is_write & BIT(k) -> writes = writes | BIT(k)
			:: else
			fi;
			is_write = is_write & ~BIT(k);
			is_barrier = is_barrier & ~BIT(k);
			i++
		:: i < N && ls[i] != L_ANSWERED -> i++
		:: else -> break
		od;
		i = 0; k = 0
	} }
	/* blkif_ring_publish, after its fence */
	notify = always || U(pvt - rsp_event) < U(pvt - pub);
#ifdef MUT_FREE_BEFORE_RSP
	FREE_EACH(TO_FREE);
#endif
	/* 3, 4: journal_published, journal_free */
	atomic { h_rsp = pvt; pub = pvt }
	FREE_EACH(TO_FREE);
	/* 5 */
	atomic {
		if
		:: notify -> ev_front = 1; notify = 0
		:: else
		fi
	}
}

inline stop_ring()
{
	assert(TAMPER); /* HONEST */
	h_stopped = 1;
	stopped = 1
}

/* journal_recover and queue_replay. */
inline recover()
{
	if
	:: h_stopped -> goto dead
	:: else
	fi;
	/* 3: a take that was cut off */
#ifndef MUT_NO_SEQ
	d_step { FIND(CUT_OFF); IF_FOUND(h_cons++); i = 0 }
#endif
	/* recovery_scan: frees what was published before the kill */
	FREE_EACH(OLD);
	/* 4, 5: counts, contiguous responses, and the ring's word (read once) on what was published */
	atomic {
		true; /* no break may lead into a d_step */
		d_step {
			cons = h_cons; pub = h_rsp;
			i = 0;
			do
			:: i < N && slot[i].state == TAKEN ->
				n++; bad = bad || slot[i].seq >= cons; i++
			:: i < N && slot[i].state == ANSWERED ->
				k++; bad = bad || slot[i].rsp >= cons || slot[i].rsp - pub >= N;
				seen = seen | BIT(slot[i].rsp - pub); i++
			:: i < N && slot[i].state == FREE -> i++
			:: else -> break
			od;
			bad = bad || seen != BIT(k) - 1 || cons - pub != n + k;
			seen = 0; i = 0; n = 0;
#if TAMPER
			fooled = fooled || rsp_prod != stored;
#endif
#ifndef MUT_NO_RSP_PROD
			if
			:: rsp_prod == U(pub + k) -> pub = pub + k
			:: else -> bad = bad || rsp_prod != U(pub)
			fi;
#endif
			k = 0; pvt = pub
		}
		if
		:: bad -> stop_ring(); goto dead
		:: else -> h_rsp = pub
		fi
	}
	/* 6: to the guest's knowledge these are answered */
	FREE_EACH(OLD);
	/* bind_port: Xen sets it pending; what was sent meanwhile is gone */
	atomic { bound = 1; ev_back = 1 }
	/* 7: queue_replay writes the other answers again */
	do
	:: atomic { d_step { FIND(REWRITE); IF_FOUND(PUT_RSP; ls[i] = L_ANSWERED; pvt++) }
		if
		:: i < N -> i = 0
		:: else -> i = 0; break
		fi }
	od;
#ifdef MUT_NO_NOTIFY
	publish(0);
#else
	publish(1);
#endif
	/* 9: request_accept; queue_start_ready takes them by seq */
	atomic { true; d_step {
		i = 0;
		do
		:: i < N && slot[i].state == TAKEN -> ls[i] = L_WAITING; i++
		:: i < N && slot[i].state != TAKEN -> i++
		:: else -> break
		od;
		i = 0
	} }
}

/* queue_take: one request */
inline take_one()
{
#ifdef MUT_CONS_FIRST
	h_cons = cons + 1;
#endif
	/* 1, 2: journal_take, the slot */
	d_step {
		FIND(UNUSED);
		assert(i < N); /* ROOM */
		assert(TAMPER || (!ring[U(cons) % N].is_rsp && ring[U(cons) % N].id == cons - BASE));
		slot[i].id = ring[U(cons) % N].id;
		slot[i].kind = ring[U(cons) % N].kind;
		slot[i].seq = cons;
		slot[i].state = TAKEN;
		if
		:: slot[i].kind == WRITE -> is_write = is_write | BIT(cons - BASE)
		:: slot[i].kind == BARRIER -> is_barrier = is_barrier | BIT(cons - BASE)
		:: else
		fi;
#if TAMPER
		since = since & ~answered;
		if
		:: slot[i].kind == WRITE -> own = own || since; since = since | BIT(cons - BASE)
		:: slot[i].kind == BARRIER -> since = 0
		:: else
		fi;
#endif
		ls[i] = L_WAITING; i = 0
	}
	/* 3 */
	atomic { h_cons = cons + 1; cons++ }
}

#ifdef MUT_OVERRUN_PLAIN /* req_prod - cons > N, whatever is unanswered */
#define OVERRUN (n > N)
#else
#ifdef MUT_OVERRUN_LINUX /* req_prod - published > N, and nothing on cons */
#define OVERRUN (U(p - U(pub)) > N)
#else
#define OVERRUN (n > N - (cons - pub))
#endif
#endif

inline queue_take()
{
	atomic {
		p = req_prod; n = U(p - cons);
		if
		:: OVERRUN -> n = 0; stop_ring()
		:: else
		fi;
		p = 0
	}
	do
	:: n > 0 -> take_one(); n--
	:: else -> break
	od
}

/* queue_start_ready, one step of it: i = the first waiting request if order lets it start, else N.
 * k: in flight; n: one that runs alone; seen: the first. In a d_step. */
inline next_to_start()
{
	seen = N; i = 0;
	do
	:: i < N && ls[i] == L_STARTED ->
#ifdef MUT_BARRIER_AT_COMPLETION
		if
		:: !DONE(i) -> k++; n = n || slot[i].kind == BARRIER
		:: else
		fi;
#else
#ifdef MUT_BARRIER_STARTS_AT_COMPLETION
		if
		:: !DONE(i) || slot[i].kind == BARRIER -> k++
		:: else
		fi;
#else
		k++;
#endif
		n = n || slot[i].kind == BARRIER;
#endif
		i++
	:: i < N && ls[i] == L_WAITING ->
		if
		:: seen == N -> seen = i
#ifdef MUT_REPLAY_ANY_ORDER
		:: seen < N && replaying && slot[i].seq > slot[seen].seq -> seen = i
		:: seen < N && !replaying && slot[i].seq < slot[seen].seq -> seen = i
#else
		:: seen < N && slot[i].seq < slot[seen].seq -> seen = i
#endif
		:: else
		fi;
		i++
	:: i < N && (ls[i] == L_FREE || ls[i] == L_ANSWERED) -> i++
	:: else -> break
	od;
	i = seen;
	if
	:: i < N && (n || slot[i].kind == BARRIER && k) -> i = N
	:: else
	fi;
	k = 0; n = 0; seen = 0
}

#define MORE (ANY_DONE || !stopped && req_prod != U(cons))

#if N == 2
#define ANY_DONE (DONE(0) || DONE(1))
#define PICK_DONE \
	:: DONE(0) -> i = 0 \
	:: DONE(1) -> i = 1
#endif
#if N == 4
#define ANY_DONE (DONE(0) || DONE(1) || DONE(2) || DONE(3))
#define PICK_DONE \
	:: DONE(0) -> i = 0 \
	:: DONE(1) -> i = 1 \
	:: DONE(2) -> i = 2 \
	:: DONE(3) -> i = 3
#endif

/* answer() of the finished request in slot i */
inline answer_one()
{
	/* 3: blkif_ring_put_rsp */
	d_step { completed = completed & ~BIT(slot[i].seq - BASE); PUT_RSP }
	/* 4, 5: journal_answer */
	d_step {
		slot[i].rsp = pvt; slot[i].state = ANSWERED;
		answered = answered | BIT(slot[i].seq - BASE);
		ls[i] = L_ANSWERED; pvt++; i = 0
	}
}

/* queue_thread: work(), and sleep_until_event() if nothing moved. */
inline serve()
{
	do
	::	if
		:: atomic { !stopped && req_prod != U(cons) -> skip }; queue_take()
		:: else
		fi;
		do
		:: atomic { d_step { next_to_start();
				IF_FOUND(inflight = inflight | BIT(slot[i].seq - BASE); ls[i] = L_STARTED) }
			if
			:: i < N -> i = 0
			:: else -> i = 0; break
			fi }
		od;
		/* queue_answer: any number of those done so far */
		do
		:: atomic { ANY_DONE -> if PICK_DONE fi }; answer_one()
		:: break
		od;
		if
		:: pvt != pub -> publish(0)
		:: pvt == pub && MORE -> skip
		:: pvt == pub && !MORE ->
#ifdef MUT_REPLAY_ANY_ORDER
			replaying = 0;
#endif
			/* blkif_ring_arm_req: only if the ring is still empty after that it blocks */
#ifndef MUT_NO_ARM
			if
			:: !stopped -> req_event = U(cons + 1)
			:: else
			fi;
#endif
			if
#ifndef MUT_NO_LOOK
			:: !stopped && req_prod != U(cons) -> skip
			:: stopped || req_prod == U(cons) ->
#else
			:: true ->
#endif
end_asleep:			atomic { ev_back || ANY_DONE -> ev_back = 0 }
			fi
		fi
	od
}

#ifdef MUT_NO_OWNER
#define OWNS(w) true
#else
#define OWNS(w) (owner == w)
#endif

/* The kernel's part of a death: what was under way goes on, all else of the process is gone. */
inline died()
{
	d_step {
		killing[me] = 0;
		if
		:: OWNS(me) ->
			late = late | inflight; inflight = 0; completed = 0;
			bound = 0; ev_back = 0; owner = NOBODY
		:: else
		fi;
		cons = 0; pvt = 0; pub = 0; n = 0; k = 0; seen = 0;
		notify = 0; bad = 0; stopped = 0; p = 0;
		i = 0;
		do
		:: i < N -> ls[i] = L_FREE; i++
		:: else -> break
		od;
		i = 0
	}
}

proctype worker(bit me)
{
	byte cons, pvt, pub, i, n, k, p, seen;
	byte ls[N];
	bit notify, bad, stopped;
#ifdef MUT_REPLAY_ANY_ORDER
	bit replaying;
#endif

end_unborn:
	atomic { started[me] -> started[me] = 0 }
	{
		/* 0: owner, fence */
#ifndef MUT_NO_OWNER
		atomic { owner == NOBODY -> owner = me }
#endif
#ifndef MUT_NO_FENCE
		(late == 0);
#endif
#ifdef MUT_REPLAY_ANY_ORDER
		replaying = 1;
#endif
		recover();
		serve();
dead:		(0) /* the supervisor fails the disk */
	} unless {
		atomic { killing[me] -> died() }
	};
	goto end_unborn
}

/* Kills, and starts the next one at once, which must wait for the dead one's lock by itself. */
proctype supervisor()
{
	started[0] = 1;
end:	do
	:: d_step { kills < KILLS && !killing[0] && !killing[1] && !started[0] && !started[1] ->
		kills++; killing[current] = 1; current = 1 - current; started[current] = 1 }
	od
}

/* ---- the guest ---- */

proctype guest()
{
	byte sent, got, id, k;
	int open_writes; /* since the last barrier, not answered */

	do
	:: atomic { sent < R && sent - got < N ->
		/* An honest guest lets writes to one block overlap only with a barrier between them. */
		if
#ifdef ALTERNATE /* a run that is short enough for each `make check` */
		:: k = (sent & 1 -> BARRIER : WRITE)
#else
		:: k = OTHER
		:: KINDS > 1 && !open_writes -> k = WRITE
		:: KINDS > 2 -> k = BARRIER
#endif
		fi;
		d_step {
			ring[U(BASE + sent) % N].is_rsp = 0; ring[U(BASE + sent) % N].id = sent;
			ring[U(BASE + sent) % N].kind = k;
			if
			:: k == WRITE -> open_writes = open_writes | BIT(sent)
			:: k == BARRIER -> open_writes = 0
			:: else
			fi;
			k = 0; sent++; req_prod = U(BASE + sent)
		} }
		if
		:: atomic { req_event == U(BASE + sent) -> if :: bound -> ev_back = 1 :: else fi }
		:: req_event != U(BASE + sent)
		fi
	:: d_step { got < sent && rsp_prod != U(BASE + got) ->
			id = ring[U(BASE + got) % N].id;
			assert(TAMPER || ring[U(BASE + got) % N].is_rsp);
#ifndef OFF_TWICE
			assert(TAMPER || id < sent && !(answers & BIT(id))); /* TWICE */
#endif
			assert(TAMPER || U(rsp_prod - (BASE + got)) <= sent - got);
			answers = answers | BIT(id);
			open_writes = open_writes & ~BIT(id);
			ring[U(BASE + got) % N].id = 0; ring[U(BASE + got) % N].is_rsp = 0;
			id = 0; got++
		}
	:: got == R -> break
	:: atomic { got < sent && rsp_prod == U(BASE + got) -> rsp_event = U(BASE + got + 1) }
		if
		:: rsp_prod == U(BASE + got) ->
#if TAMPER
end_cheated:
#endif
			atomic { ev_front -> ev_front = 0 } /* LOST, if it waits for ever */
		:: else
		fi
	od
}

#if TAMPER
proctype tamper()
{
	byte left = TAMPER, v;

end:	do
	:: left > 0 ->
		atomic {
			left--;
			v = 0;
			do
			:: v < M - 1 -> v++
			:: break
			od;
			if
			:: rsp_prod = v
			:: req_prod = v; if :: bound -> ev_back = 1 :: else fi
			fi;
			v = 0
		}
	od
}
#endif

init
{
	atomic {
		run worker(0);
		run worker(1);
		run supervisor();
		run guest();
#if TAMPER
		run tamper()
#endif
	}
}
