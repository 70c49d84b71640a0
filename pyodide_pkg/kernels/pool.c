/* Threads that share one piece of work: everybody takes a part, and all meet again.
 *
 * Natively the pool starts its own threads. In WebAssembly with a shared memory each thread is a
 * worker that has an instance of this module on that memory and calls `tk_worker`. A WebAssembly
 * module without one has no pool, and one thread does every part. Parts are independent of each
 * other, so neither their number nor who does them changes a bit. */
#include "thimble.h"

#if defined(__wasm__) && !defined(__wasm_atomics__)
#define TK_POOL 0
#elif defined(_WIN32)
#define TK_POOL 0
#else
#define TK_POOL 1
#endif

#if TK_POOL

/* Looks at a word that another thread will change, before sleeping on it: some tens of
 * microseconds, which is longer than what lies between two products, and far shorter than waking a
 * thread takes from a whole token. */
#if defined(__x86_64__)
enum { SPINS = 2000 };
#define tk_relax() __builtin_ia32_pause()
#else
enum { SPINS = 40000 };
#define tk_relax() ((void)0)
#endif

static struct {
    int32_t threads;   /* the caller included */
    uint32_t round;    /* counts the pieces of work; changing it starts one */
    uint32_t pending;  /* workers that are not done with it */
    uint32_t busy;     /* whether somebody is using the pool */
    uint32_t sleeping; /* threads that have to be woken */
    uint32_t closing;
    uint32_t failed; /* whether a worker died in the middle of its part */
    tk_task task;
    void *argument;
} pool = {1, 0, 0, 0, 0, 0, 0, NULL, NULL};

#if defined(__wasm__)

static void sleep_while(uint32_t *word, uint32_t value) {
    __builtin_wasm_memory_atomic_wait32((int *)word, (int)value, -1);
}
static void wake_all(uint32_t *word) {
    __builtin_wasm_memory_atomic_notify((int *)word, 0x7fffffff);
}

#else
#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void sleep_while(uint32_t *word, uint32_t value) {
    pthread_mutex_lock(&lock);
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}
static void wake_all(uint32_t *word) {
    (void)word;
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}
#endif

/* After the word has been changed; most often everybody is still looking. */
static void wake(uint32_t *word) {
    if (__atomic_load_n(&pool.sleeping, __ATOMIC_SEQ_CST)) wake_all(word);
}

/* Waits until the word is no longer `value`; returns what it is. */
static uint32_t wait_for_change(uint32_t *word, uint32_t value) {
    uint32_t now;
    for (int i = 0; (now = __atomic_load_n(word, __ATOMIC_SEQ_CST)) == value; i++) {
        if (i < SPINS) {
            tk_relax();
            continue;
        }
        /* Announced before the word is looked at for the last time: who changes it after that sees
         * that somebody has to be woken. */
        __atomic_add_fetch(&pool.sleeping, 1, __ATOMIC_SEQ_CST);
        sleep_while(word, value);
        __atomic_sub_fetch(&pool.sleeping, 1, __ATOMIC_SEQ_CST);
    }
    return now;
}

/* The life of thread `index`, 1 or more: returns when the pool is closed. `round` is what the
 * pool's counter stood at when the thread was asked for. */
static void work(int32_t index, uint32_t round) {
    for (;;) {
        round = wait_for_change(&pool.round, round);
        int closing = (int)__atomic_load_n(&pool.closing, __ATOMIC_SEQ_CST);
        if (!closing) pool.task(pool.argument, index, pool.threads);
        if (__atomic_sub_fetch(&pool.pending, 1, __ATOMIC_SEQ_CST) == 0) wake(&pool.pending);
        if (closing) return;
    }
}

static void begin_round(uint32_t workers) {
    __atomic_store_n(&pool.pending, workers, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&pool.round, 1, __ATOMIC_SEQ_CST);
    wake(&pool.round);
}

static void end_round(void) {
    uint32_t left;
    while ((left = __atomic_load_n(&pool.pending, __ATOMIC_SEQ_CST)) != 0)
        wait_for_change(&pool.pending, left);
}

/* Runs every part of a task. A task may be run again from the beginning: where a worker died, the
 * caller does all parts itself, and from then on everything. */
void tk_parallel(tk_task task, void *argument) {
    int alone = pool.threads == 1 || __atomic_exchange_n(&pool.busy, 1, __ATOMIC_SEQ_CST);
    if (alone) {
        task(argument, 0, 1);
        return;
    }
    pool.task = task;
    pool.argument = argument;
    begin_round((uint32_t)pool.threads - 1);
    task(argument, 0, pool.threads);
    end_round();
    if (__atomic_load_n(&pool.failed, __ATOMIC_SEQ_CST)) {
        pool.threads = 1;
        task(argument, 0, 1);
    }
    __atomic_store_n(&pool.busy, 0, __ATOMIC_SEQ_CST);
}

int32_t tk_pool_threads(void) { return pool.threads; }

/* How many threads there are now: 1 after a worker died. */
TK_EXPORT tk_int tk_threads_alive(void) { return pool.threads; }

/* Called in the place of a worker whose tk_worker(index, round) was ended by a trap. Nobody misses
 * it before there is work. */
TK_EXPORT tk_int tk_worker_failed(tk_int round) {
    wait_for_change(&pool.round, (uint32_t)round);
    __atomic_store_n(&pool.failed, 1, __ATOMIC_SEQ_CST);
    if (__atomic_sub_fetch(&pool.pending, 1, __ATOMIC_SEQ_CST) == 0) wake(&pool.pending);
    return 0;
}

/* The life of thread `index` as a worker; returns when the pool is closed. */
TK_EXPORT tk_int tk_worker(tk_int index, tk_int round) {
    work((int32_t)index, (uint32_t)round);
    return 0;
}

static void close_pool(void) {
    if (pool.threads == 1) return;
    __atomic_store_n(&pool.closing, 1, __ATOMIC_SEQ_CST);
    begin_round((uint32_t)pool.threads - 1);
    end_round();
    __atomic_store_n(&pool.closing, 0, __ATOMIC_SEQ_CST);
    pool.threads = 1;
}

#if defined(__wasm__)

/* Sets how many threads there are. The n - 1 workers then call tk_worker with the `round` that this
 * returns; until they have, nothing may be computed. */
TK_EXPORT tk_int tk_threads(tk_int n) {
    close_pool();
    pool.failed = 0;
    pool.threads = (int32_t)n;
    return (tk_int)pool.round;
}

#else

typedef struct {
    int32_t index;
    uint32_t round;
} tk_start;

static void *thread_main(void *argument) {
    tk_start start = *(tk_start *)argument;
    tk_delete(argument);
    work(start.index, start.round);
    return NULL;
}

/* Starts or ends threads until there are n, the caller included. Returns how many there are. */
TK_EXPORT tk_int tk_threads(tk_int n) {
    close_pool();
    uint32_t round = pool.round;
    int32_t started = 1;
    for (; started < n && started < TK_MAX_THREADS; started++) {
        tk_start *start = tk_new(sizeof *start);
        pthread_t thread;
        if (!start) break;
        *start = (tk_start){started, round};
        if (pthread_create(&thread, NULL, thread_main, start)) {
            tk_delete(start);
            break;
        }
        pthread_detach(thread);
    }
    pool.threads = started;
    return started;
}
#endif

#else

void tk_parallel(tk_task task, void *argument) { task(argument, 0, 1); }
int32_t tk_pool_threads(void) { return 1; }
TK_EXPORT tk_int tk_threads(tk_int n) {
    (void)n;
    return 1;
}
TK_EXPORT tk_int tk_threads_alive(void) { return 1; }
TK_EXPORT tk_int tk_worker(tk_int index, tk_int round) {
    (void)index;
    (void)round;
    return 0;
}
TK_EXPORT tk_int tk_worker_failed(tk_int round) {
    (void)round;
    return 0;
}

#endif
