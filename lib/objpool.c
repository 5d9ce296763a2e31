/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * objpool: see objpool.h.
 */
#include "objpool.h"
#include "attr.h"
#include "lock.h"
#include "piece.h"
#include "request.h"
#include "start.h"

#include <errno.h>
#include <stdio.h> /* snprintf */
#include <string.h>

#define BATCH_OBJECTS 30 /* a batch fills four cache lines */

/* What the object's head says of it; no other value is likely to be there. */
#define STATE_OUT 0x6f626a31u
#define STATE_KEPT 0x6f626a30u
#define STATE_NONE 0u

#define TLS __attribute__((tls_model("initial-exec")))

/* Before an object; 16 bytes, so that the object lies where pieces do. */
struct np_object {
	_Atomic uint32_t state; /* relaxed: whoever has the object writes it; a
				   second put may come from another thread */
	np_home_t home;		/* its memory's */
	uint16_t unused;
	struct npool_objpool *op;
};

_Static_assert(sizeof(struct np_object) == 16, "objects stay aligned");

struct np_batch {
	struct np_batch *next;
	uint32_t n;
	struct np_object *object[BATCH_OBJECTS];
};

_Static_assert(sizeof(struct np_batch) == 4 * NP_LINE, "see BATCH_OBJECTS");

/* A thread's, in one recycler. */
struct np_objstack {
	struct np_objstack *prev, *next; /* guarded by objpools_lock */
	struct npool_objpool *op;
	struct np_objthread *thread;
	struct np_batch *loaded, *spare; /* owner thread only, all of these */
	np_home_t home;		/* of what is in them */
	np_tag_t tag;		/* the same, of the recycler's pool */
	np_count_t gets, puts;	/* written by the owner alone, relaxed */
	struct np_batch *out[];	/* [nhomes]: on their way home; NULL: none */
};

struct np_objthread {
	struct np_objstack *stack[NP_MAX_OBJPOOLS]; /* by slot; written by the
				   thread, or by who destroys the recycler,
				   under objpools_lock */
};

struct np_objdepot {
	struct np_batch *batches;
	size_t n; /* objects */
};

struct npool_objpool {
	unsigned slot;
	char name[NP_POOL_NAME_SIZE];
	struct np_pool *memory;
	size_t object_size, max_kept;
	npool_construct_fn *construct;
	npool_destruct_fn *destruct;
	void *arg;
	np_count_t made, destroyed; /* atomic, relaxed: statistics */
	np_count_t gets, puts;	/* by threads that have no stack (any more) */
	struct np_objstack *stacks; /* guarded by objpools_lock */
	unsigned leaving;	/* threads that give up a stack just now; the
				   same */
	struct np_lock lock;
	struct np_objdepot depot[]; /* [nhomes], guarded by lock */
};

/* Guards which recyclers and stacks there are. */
static struct np_lock objpools_lock = NP_LOCK_INIT(NP_RANK_OBJPOOLS);
static struct npool_objpool *objpools[NP_MAX_OBJPOOLS];
static pthread_cond_t left = PTHREAD_COND_INITIALIZER;
static pthread_key_t key;
static bool has_key;

/* Of threads that are not known (yet, or any more): it has no stacks. */
static struct np_objthread nobody;

/* The caller. */
static _Thread_local struct np_objthread *me TLS = &nobody;
static _Thread_local bool ended TLS;

/* --- objects ---------------------------------------------------------- */

static void *zeroed(size_t size)
{
	return np_request_serve(&(struct np_request){
		.pool = &np_pool, .size = size, .home = NP_ANY_HOME,
		.zero = true });
}

static void *bytes_of(struct np_object *o)
{
	return o + 1;
}

static uint32_t state_of(const struct np_object *o)
{
	return atomic_load_explicit(&o->state, memory_order_relaxed);
}

static void set_state(struct np_object *o, uint32_t state)
{
	atomic_store_explicit(&o->state, state, memory_order_relaxed);
}

static void destroy_object(struct npool_objpool *op, struct np_object *o)
{
	if (op->destruct)
		op->destruct(bytes_of(o), op->arg);
	set_state(o, STATE_NONE);
	np_count_add_shared(&op->destroyed, 1);
	np_piece_free(o);
}

/* A new one, or NULL with errno. */
static struct np_object *make_object(struct npool_objpool *op)
{
	struct np_object *o = np_request_serve(&(struct np_request){
		.pool = op->memory, .size = sizeof *o + op->object_size,
		.home = NP_ANY_HOME });
	int error;

	if (!o)
		return NULL;
	o->op = op;
	o->home = np_region_home(np_map_find(o));
	set_state(o, STATE_KEPT);
	error = op->construct ? op->construct(bytes_of(o), op->arg) : 0;
	if (error) {
		np_piece_free(o);
		return errno = error, NULL;
	}
	np_count_add_shared(&op->made, 1);
	return o;
}

/* --- batches ---------------------------------------------------------- */

static struct np_batch *make_batch(void)
{
	struct np_batch *b = np_request_serve(&(struct np_request){
		.pool = &np_pool, .size = sizeof *b, .home = NP_ANY_HOME });

	if (b)
		b->n = 0;
	return b;
}

/* Destroys what is in it. */
static void empty_batch(struct npool_objpool *op, struct np_batch *b)
{
	while (b->n)
		destroy_object(op, b->object[--b->n]);
}

/* Destroys a list of batches with what is in them; returns how many objects
 * that were. */
static size_t destroy_batches(struct npool_objpool *op, struct np_batch *b)
{
	size_t n = 0;

	while (b) {
		struct np_batch *next = b->next;

		n += b->n;
		empty_batch(op, b);
		np_piece_free(b);
		b = next;
	}
	return n;
}

/* Fills the first batch of the depot from b. */
static void top_up(struct np_objdepot *d, struct np_batch *b)
{
	struct np_batch *first = d->batches;

	while (first && first->n < BATCH_OBJECTS && b->n)
		first->object[first->n++] = b->object[--b->n];
}

/* The depot gets the batch, or its objects are destroyed if it has enough.
 * The batch is the caller's no more. */
static void deposit(struct npool_objpool *op, np_home_t home,
		    struct np_batch *b)
{
	struct np_objdepot *d = &op->depot[home];

	b->next = NULL;
	np_lock(&op->lock);
	if (d->n + b->n <= op->max_kept) {
		d->n += b->n;
		top_up(d, b);
		if (b->n) {
			b->next = d->batches;
			d->batches = b;
			b = NULL;
		}
	}
	np_unlock(&op->lock);
	destroy_batches(op, b);
}

/* As deposit, but the caller gets an empty batch in its place. */
static void exchange(struct npool_objpool *op, np_home_t home,
		     struct np_batch **b)
{
	struct np_batch *old, *fresh = make_batch();

	if (!fresh) {
		empty_batch(op, *b);
		return;
	}
	old = *b; /* a hook may use the caller's stack: it must be whole */
	*b = fresh;
	deposit(op, home, old);
}

/* The depot's first batch, or NULL. */
static struct np_batch *withdraw(struct npool_objpool *op, np_home_t home)
{
	struct np_objdepot *d = &op->depot[home];
	struct np_batch *b;

	np_lock(&op->lock);
	b = d->batches;
	if (b) {
		d->batches = b->next;
		d->n -= b->n;
	}
	np_unlock(&op->lock);
	return b;
}

/* --- stacks ----------------------------------------------------------- */

static void link_stack(struct np_objstack *s)
{
	np_lock(&objpools_lock);
	s->next = s->op->stacks;
	if (s->next)
		s->next->prev = s;
	s->op->stacks = s;
	s->thread->stack[s->op->slot] = s;
	np_unlock(&objpools_lock);
}

/* The lock must be held. Its counts become the recycler's. */
static void unlink_stack(struct np_objstack *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		s->op->stacks = s->next;
	if (s->next)
		s->next->prev = s->prev;
	np_count_add_shared(&s->op->gets, np_count_get(&s->gets));
	np_count_add_shared(&s->op->puts, np_count_get(&s->puts));
}

static void free_stack(struct np_objstack *s)
{
	if (s->loaded)
		np_piece_free(s->loaded);
	if (s->spare)
		np_piece_free(s->spare);
	np_piece_free(s);
}

static void set_home(struct np_objstack *s, np_home_t home)
{
	s->home = home;
	s->tag = np_tag(s->op->memory->slot, home);
}

/* The caller's stack; NULL: no memory. */
static struct np_objstack *make_stack(struct npool_objpool *op,
				      np_home_t home)
{
	struct np_objstack *s = zeroed(sizeof *s + op->memory->nodes.n *
				       sizeof s->out[0]);

	if (!s)
		return NULL;
	s->op = op;
	s->thread = me;
	set_home(s, home);
	s->loaded = make_batch();
	s->spare = make_batch();
	/* A pressure function may have been here, and made it. */
	if (s->loaded && s->spare && !me->stack[op->slot])
		link_stack(s);
	else
		free_stack(s);
	return me->stack[op->slot];
}

/* What is on its way home goes there now. */
static void send_home(struct np_objstack *s)
{
	for (unsigned home = 0; home < s->op->memory->nodes.n; home++) {
		struct np_batch *b = s->out[home];

		s->out[home] = NULL;
		if (b)
			deposit(s->op, (np_home_t)home, b);
	}
}

/* Frees a stack that nobody finds any more; its objects go to the depots. */
static void give_up(struct np_objstack *s)
{
	send_home(s);
	deposit(s->op, s->home, s->loaded);
	deposit(s->op, s->home, s->spare);
	s->loaded = s->spare = NULL;
	free_stack(s);
}

/* The thread is on this node now: what it has stays on the old one. */
static void move(struct np_objstack *s, np_home_t home)
{
	np_home_t old_home = s->home;

	exchange(s->op, old_home, &s->loaded);
	exchange(s->op, old_home, &s->spare);
	send_home(s);
	set_home(s, home);
}

/* The home that serves the caller now. */
static np_home_t home_now(const struct npool_objpool *op)
{
	const struct np_cache *c = np_pool_cache(op->memory);

	return c ? c->home : np_thread_home(&op->memory->nodes);
}

/* Is the cache that serves the caller now of the stack's home? Of the default
 * pool's it is known at once. */
static inline bool is_home(const struct np_objstack *s)
{
	const struct np_cache *c = np_self;

	if (np_likely(c->tag == s->tag))
		return !np_cache_barred(c);
	c = np_thread_cache_now(s->op->memory->slot);
	return c && c->home == s->home;
}

/* The caller's stack if it has one and has not moved; else NULL. */
static inline struct np_objstack *stack_now(const struct npool_objpool *op)
{
	struct np_objstack *s = me->stack[op->slot];

	return s && is_home(s) ? s : NULL;
}

/* --- threads ---------------------------------------------------------- */

/* Takes a stack out of its thread's hands; NULL: there is none any more. */
static struct np_objstack *take_stack(struct np_objthread *t)
{
	struct np_objstack *s = NULL;

	np_lock(&objpools_lock);
	for (unsigned slot = 0; !s && slot < NP_MAX_OBJPOOLS; slot++) {
		s = t->stack[slot];
		t->stack[slot] = NULL;
	}
	if (s) {
		unlink_stack(s);
		s->op->leaving++;
	}
	np_unlock(&objpools_lock);
	return s;
}

static void thread_ended(void *thread)
{
	struct np_objthread *t = thread;
	struct np_objstack *s;

	me = &nobody;
	ended = true;
	while ((s = take_stack(t))) {
		struct npool_objpool *op = s->op; /* waits for us, if it ends */

		give_up(s);
		np_lock(&objpools_lock);
		if (--op->leaving == 0)
			pthread_cond_broadcast(&left);
		np_unlock(&objpools_lock);
	}
	np_piece_free(t);
}

/* Makes the caller known, if it can be. */
static void make_thread(void)
{
	struct np_objthread *t = ended ? NULL : zeroed(sizeof *t);

	if (!t)
		return;
	if (me == &nobody && pthread_setspecific(key, t) == 0)
		me = t;
	else
		np_piece_free(t);
}

/* The caller's stack, made if need be, on the node that it is on; NULL: it has
 * to do without. */
static struct np_objstack *visit(struct npool_objpool *op)
{
	np_home_t home = home_now(op);
	struct np_objstack *s;

	if (!op->max_kept)
		return NULL;
	if (me == &nobody)
		make_thread();
	if (me == &nobody)
		return NULL;
	s = me->stack[op->slot];
	if (!s)
		return make_stack(op, home);
	if (s->home != home)
		move(s, home);
	return s;
}

/* --- get -------------------------------------------------------------- */

static void swap(struct np_objstack *s)
{
	struct np_batch *b = s->loaded;

	s->loaded = s->spare;
	s->spare = b;
}

/* Returns whether there is an object in the loaded batch now. */
static bool refill(struct np_objstack *s)
{
	struct np_batch *b;

	send_home(s);
	if (!s->loaded->n)
		swap(s);
	if (s->loaded->n)
		return true;
	b = withdraw(s->op, s->home);
	if (!b)
		return false;
	np_piece_free(s->loaded);
	s->loaded = b;
	return true;
}

/* For who has no stack: one of the depot; NULL: it has none. */
static struct np_object *take_one(struct npool_objpool *op)
{
	struct np_objdepot *d = &op->depot[home_now(op)];
	struct np_batch *b, *empty = NULL;
	struct np_object *o = NULL;

	np_lock(&op->lock);
	b = d->batches;
	if (b) {
		o = b->object[--b->n];
		d->n--;
		if (!b->n) {
			d->batches = b->next;
			empty = b;
		}
	}
	np_unlock(&op->lock);
	if (empty)
		np_piece_free(empty);
	return o;
}

static void *hand_out(struct np_object *o)
{
	np_assert(state_of(o) == STATE_KEPT);
	set_state(o, STATE_OUT);
	return bytes_of(o);
}

static __attribute__((noinline)) void *get_slow(struct npool_objpool *op)
{
	struct np_objstack *s = visit(op);
	struct np_object *o;

	if (s)
		o = refill(s) ? s->loaded->object[--s->loaded->n] : NULL;
	else
		o = take_one(op);
	if (!o)
		o = make_object(op);
	if (!o)
		return NULL;
	if (s)
		np_count_one(&s->gets);
	else
		np_count_add_shared(&op->gets, 1);
	return hand_out(o);
}

void *npool_objpool_get(npool_objpool_t *op)
{
	struct np_objstack *s = stack_now(op);
	struct np_batch *b;

	if (np_unlikely(!s || !s->loaded->n))
		return get_slow(op);
	b = s->loaded;
	np_count_one(&s->gets);
	return hand_out(b->object[--b->n]);
}

/* --- put -------------------------------------------------------------- */

static _Noreturn __attribute__((noinline, cold)) void
die_of(const struct npool_objpool *op, void *object)
{
	const struct np_object *o = (struct np_object *)object - 1;

	np_die("npool_objpool_put(%s, %p): %s", op->name, object,
	       state_of(o) == STATE_KEPT ? "it was put already" :
	       state_of(o) == STATE_OUT ? "it is of another recycler" :
	       "it is no object of a recycler, or was destroyed");
}

/* Makes room in the loaded batch; a hook may fill it up again. */
static void overflow(struct np_objstack *s)
{
	while (s->loaded->n == BATCH_OBJECTS) {
		if (s->spare->n)
			exchange(s->op, s->home, &s->spare);
		swap(s);
	}
}

/* The batch for what goes to that home, or NULL: no memory. */
static struct np_batch *outgoing(struct np_objstack *s, np_home_t home)
{
	struct np_batch *fresh = s->out[home] ? NULL : make_batch();

	/* A pressure function may have been here, and made it. */
	if (!s->out[home])
		s->out[home] = fresh;
	else if (fresh)
		np_piece_free(fresh);
	return s->out[home];
}

/* Keeps an object of another node until there are more of them. Returns false
 * if there is no memory for that. */
static bool put_out(struct np_objstack *s, struct np_object *o)
{
	np_home_t home = o->home;
	struct np_batch *b = outgoing(s, home);

	if (!b)
		return false;
	b->object[b->n++] = o;
	if (b->n == BATCH_OBJECTS) {
		s->out[home] = NULL;
		deposit(s->op, home, b);
	}
	return true;
}

/* For who has no stack. */
static void put_one(struct npool_objpool *op, struct np_object *o)
{
	struct np_batch *b = op->max_kept ? make_batch() : NULL;

	if (b) {
		b->object[b->n++] = o;
		deposit(op, o->home, b);
	} else {
		destroy_object(op, o);
	}
}

static __attribute__((noinline)) void put_slow(struct npool_objpool *op,
					       struct np_object *o)
{
	int saved = errno;
	struct np_objstack *s = visit(op);

	if (s)
		np_count_one(&s->puts);
	else
		np_count_add_shared(&op->puts, 1);
	if (s && o->home == s->home) {
		overflow(s);
		s->loaded->object[s->loaded->n++] = o;
	} else if (!s || !put_out(s, o)) {
		put_one(op, o);
	}
	errno = saved;
}

void npool_objpool_put(npool_objpool_t *op, void *object)
{
	struct np_objstack *s;
	struct np_object *o;
	struct np_batch *b;

	if (np_unlikely(!object))
		return;
	o = (struct np_object *)object - 1;
	if (np_unlikely(state_of(o) != STATE_OUT || o->op != op))
		die_of(op, object);
	set_state(o, STATE_KEPT);
	s = stack_now(op);
	if (np_unlikely(!s || o->home != s->home ||
			s->loaded->n == BATCH_OBJECTS)) {
		put_slow(op, o);
		return;
	}
	b = s->loaded;
	np_count_one(&s->puts);
	b->object[b->n++] = o;
}

/* --- making and ending one -------------------------------------------- */

#define FIRST_ATTR_SIZE (offsetof(struct npool_objpool_attr, arg) + \
			 sizeof(void *))

static int read_attr(struct npool_objpool_attr *a,
		     const struct npool_objpool_attr *attr)
{
	const struct npool_objpool_attr init = NPOOL_OBJPOOL_ATTR_INIT;
	int error;

	*a = init;
	error = np_attr_fit(a, sizeof *a, FIRST_ATTR_SIZE, attr,
			    "npool_objpool_create");
	if (error)
		return error;
	if (!a->name)
		a->name = "objects";
	if (!a->object_size ||
	    a->object_size > PTRDIFF_MAX - sizeof(struct np_object)) {
		np_warn("npool_objpool_create: %s: object_size: %zu is not in "
			"1 .. PTRDIFF_MAX - 16", a->name, a->object_size);
		return EINVAL;
	}
	return 0;
}

static struct npool_objpool *make(const struct npool_objpool_attr *a)
{
	struct np_pool *memory = a->pool ? a->pool : &np_pool;
	struct npool_objpool *op = zeroed(sizeof *op + memory->nodes.n *
					  sizeof op->depot[0]);

	if (!op)
		return NULL;
	snprintf(op->name, sizeof op->name, "%s", a->name);
	op->memory = memory;
	op->object_size = a->object_size;
	op->max_kept = a->max_kept;
	op->construct = a->construct;
	op->destruct = a->destruct;
	op->arg = a->arg;
	np_lock_init(&op->lock, NP_RANK_OBJPOOL);
	return op;
}

/* Gives it a slot. Returns 0, EAGAIN or ENOMEM. */
static int enter(struct npool_objpool *op)
{
	unsigned slot = 0;
	int error = 0;

	np_lock(&objpools_lock);
	if (!has_key)
		error = pthread_key_create(&key, thread_ended);
	has_key = !error;
	while (!error && slot < NP_MAX_OBJPOOLS && objpools[slot])
		slot++;
	if (slot == NP_MAX_OBJPOOLS)
		error = EAGAIN;
	if (!error) {
		op->slot = slot;
		objpools[slot] = op;
	}
	np_unlock(&objpools_lock);
	return error;
}

int npool_objpool_create(npool_objpool_t **objpool,
			 const struct npool_objpool_attr *attr)
{
	struct npool_objpool_attr a;
	int error = read_attr(&a, attr);

	if (!error && !np_start())
		error = EAGAIN;
	if (error)
		return error;
	*objpool = make(&a);
	if (!*objpool)
		return ENOMEM;
	error = enter(*objpool);
	if (error) {
		np_piece_free(*objpool);
		*objpool = NULL;
	}
	return error;
}

/* The lock must be held. */
static void count(const struct npool_objpool *op, uint64_t *gets,
		  uint64_t *puts)
{
	*gets = np_count_get(&op->gets);
	*puts = np_count_get(&op->puts);
	for (const struct np_objstack *s = op->stacks; s; s = s->next) {
		*gets += np_count_get(&s->gets);
		*puts += np_count_get(&s->puts);
	}
}

/* Nobody finds the recycler any more, and no thread its stack of it. Returns
 * these stacks, or NULL with *busy: an object is out. */
static struct np_objstack *detach(struct npool_objpool *op, bool *busy)
{
	struct np_objstack *stacks = NULL;
	uint64_t gets, puts;

	np_lock(&objpools_lock);
	while (op->leaving)
		pthread_cond_wait(&left, &objpools_lock.mutex);
	count(op, &gets, &puts);
	*busy = gets != puts;
	if (!*busy) {
		stacks = op->stacks;
		objpools[op->slot] = NULL;
		for (struct np_objstack *s = stacks; s; s = s->next)
			s->thread->stack[op->slot] = NULL;
	}
	np_unlock(&objpools_lock);
	return stacks;
}

/* Destroys what the depots have. Returns how many objects. */
static size_t empty_depots(struct npool_objpool *op)
{
	struct np_batch *b;
	size_t n = 0;

	for (unsigned home = 0; home < op->memory->nodes.n; home++) {
		np_lock(&op->lock);
		b = op->depot[home].batches;
		op->depot[home].batches = NULL;
		op->depot[home].n = 0;
		np_unlock(&op->lock);
		n += destroy_batches(op, b);
	}
	return n;
}

int npool_objpool_destroy(npool_objpool_t *op)
{
	struct np_objstack *s, *next;
	bool busy;

	if (!op)
		return 0;
	s = detach(op, &busy);
	if (busy)
		return EBUSY;
	for (; s; s = next) {
		next = s->next;
		give_up(s);
	}
	empty_depots(op);
	np_piece_free(op);
	return 0;
}

size_t npool_objpool_trim(npool_objpool_t *op)
{
	struct np_objstack *s = visit(op);

	if (s)
		move(s, s->home);
	return empty_depots(op);
}

/* --- figures ---------------------------------------------------------- */

int npool_objpool_stats(npool_objpool_t *op,
			struct npool_objpool_figures *stats)
{
	size_t first_release = offsetof(struct npool_objpool_figures, kept) +
			       sizeof stats->kept;
	struct npool_objpool_figures all;
	uint64_t gone;

	if (stats->size < first_release)
		return EINVAL;
	all.size = stats->size < sizeof all ? stats->size : sizeof all;
	np_lock(&objpools_lock);
	count(op, &all.gets, &all.puts);
	np_unlock(&objpools_lock);
	all.destroyed = np_count_get(&op->destroyed);
	all.made = np_count_get(&op->made);
	gone = all.destroyed + all.gets - all.puts;
	all.kept = all.made > gone ? all.made - gone : 0;
	memcpy(stats, &all, all.size);
	return 0;
}

/* --- fork ------------------------------------------------------------- */

void np_objpools_lock(void)
{
	np_lock_for_fork(&objpools_lock);
	for (unsigned slot = 0; slot < NP_MAX_OBJPOOLS; slot++)
		if (objpools[slot])
			np_lock_for_fork(&objpools[slot]->lock);
}

void np_objpools_unlock(void)
{
	for (unsigned slot = NP_MAX_OBJPOOLS; slot-- > 0; )
		if (objpools[slot])
			np_unlock_for_fork(&objpools[slot]->lock);
	np_unlock_for_fork(&objpools_lock);
}

/* Stacks of threads that are not here: their counts stay, they do not. */
static void abandon(struct npool_objpool *op)
{
	struct np_objstack *mine = me->stack[op->slot];

	for (struct np_objstack *s = op->stacks; s; s = s->next)
		if (s != mine) {
			np_count_add(&op->gets, np_count_get(&s->gets));
			np_count_add(&op->puts, np_count_get(&s->puts));
		}
	op->stacks = mine;
	if (mine)
		mine->prev = mine->next = NULL;
	op->leaving = 0;
}

void np_objpools_forked(void)
{
	for (unsigned slot = 0; slot < NP_MAX_OBJPOOLS; slot++)
		if (objpools[slot])
			abandon(objpools[slot]);
	pthread_cond_init(&left, NULL);
}
