/* Matrix products in float32, each output summed in one order: what is there (where products are
 * added), then k ascending, one accumulator an output, a rounded product and a rounded sum for each
 * k. Vector width, tile, blocks and threads decide which outputs lie side by side, never how one of
 * them is summed, so they change no bit.
 *
 * Operands are copied to panels that the inner loop reads in a straight line; blocks keep these in
 * the caches (Goto & van de Geijn 2008). */
#include "train.h"

/* Of the blocks: rows of a, columns of b, and the summed dimension. Multiples of every tile. */
enum { ROWS = 96, COLS = 768, DEPTH = 256 };
enum { MAX_TILE = 6 * 16 };

typedef void (*tk_tile)(float *c, ptrdiff_t ldc, const float *a, const float *b, int32_t k,
                        int32_t add);

typedef struct {
    int32_t rows, cols;
    tk_tile run;
} tk_shape;

/* c [ROWS_][2 LANES] = or += panels a [k][ROWS_] times b [k][2 LANES]. */
#define TILE(NAME, LANES, ROWS_, TARGET)                                                           \
    typedef float NAME##_v __attribute__((vector_size(4 * LANES), aligned(4)));                    \
    TARGET static void NAME(float *c, ptrdiff_t ldc, const float *a, const float *b, int32_t k,    \
                            int32_t add) {                                                         \
        NAME##_v low[ROWS_], high[ROWS_];                                                          \
        _Pragma("clang loop unroll(full)") for (int i = 0; i < ROWS_; i++) {                       \
            low[i] = add ? *(const NAME##_v *)(c + i * ldc) : (NAME##_v){0};                       \
            high[i] = add ? *(const NAME##_v *)(c + i * ldc + LANES) : (NAME##_v){0};              \
        }                                                                                          \
        for (; k > 0; k--, a += ROWS_, b += 2 * LANES) {                                           \
            NAME##_v x = *(const NAME##_v *)b, y = *(const NAME##_v *)(b + LANES);                 \
            _Pragma("clang loop unroll(full)") for (int i = 0; i < ROWS_; i++) {                   \
                low[i] += x * a[i];                                                                \
                high[i] += y * a[i];                                                               \
            }                                                                                      \
        }                                                                                          \
        _Pragma("clang loop unroll(full)") for (int i = 0; i < ROWS_; i++) {                       \
            *(NAME##_v *)(c + i * ldc) = low[i];                                                   \
            *(NAME##_v *)(c + i * ldc + LANES) = high[i];                                          \
        }                                                                                          \
    }

#if defined(__aarch64__)
TILE(tile4, 4, 8, )
#define TILE4_ROWS 8
#else
TILE(tile4, 4, 4, )
#define TILE4_ROWS 4
#endif

#if defined(__x86_64__)
#include <cpuid.h>

TILE(tile8, 8, 6, __attribute__((target("avx2"))))

/* Whether the processor has AVX2 and the system keeps its registers when it switches tasks. */
static int has_avx2(void) {
    uint32_t a, b, c, d, low, high;
    if (!__get_cpuid_count(1, 0, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    __asm__(".byte 0x0f, 0x01, 0xd0" : "=a"(low), "=d"(high) : "c"(0)); /* xgetbv */
    return (low & 6) == 6 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}

/* Sixteen lanes were slower than eight where they were tried (Zen 4). */
static const tk_shape *shape(void) {
    static const tk_shape shapes[] = {{4, 8, tile4}, {6, 16, tile8}};
    static int32_t known; /* asked once; whoever asks finds the same */
    int32_t found = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (!found) {
        found = 1 + has_avx2();
        __atomic_store_n(&known, found, __ATOMIC_RELAXED);
    }
    return &shapes[found - 1];
}
#else
static const tk_shape *shape(void) {
    static const tk_shape only = {TILE4_ROWS, 8, tile4};
    return &only;
}
#endif

size_t tk_gemm_scratch(void) { return (size_t)(ROWS + COLS) * DEPTH + MAX_TILE; }

/* Four numbers of each of four lines, across: out[k] gets the k-th of every line. */
TK_INLINE void across(float *out, ptrdiff_t step, const float *p, ptrdiff_t along) {
    v4f a = load4(p), b = load4(p + along), c = load4(p + 2 * along), d = load4(p + 3 * along);
    v4f ac0 = __builtin_shufflevector(a, c, 0, 4, 1, 5);
    v4f ac1 = __builtin_shufflevector(a, c, 2, 6, 3, 7);
    v4f bd0 = __builtin_shufflevector(b, d, 0, 4, 1, 5);
    v4f bd1 = __builtin_shufflevector(b, d, 2, 6, 3, 7);
    store4(out, __builtin_shufflevector(ac0, bd0, 0, 4, 1, 5));
    store4(out + step, __builtin_shufflevector(ac0, bd0, 2, 6, 3, 7));
    store4(out + 2 * step, __builtin_shufflevector(ac1, bd1, 0, 4, 1, 5));
    store4(out + 3 * step, __builtin_shufflevector(ac1, bd1, 2, 6, 3, 7));
}

/* Lines that lie beside each other: each k is one piece of memory. */
TK_INLINE void pack_beside(float *out, const float *p, ptrdiff_t step, int32_t k, int32_t width) {
    for (int32_t j = 0; j < k; j++, out += width, p += step)
        for (int32_t i = 0; i < width; i++) out[i] = p[i];
}

/* Lines whose own elements lie beside each other: four lines at a time, the others one by one. */
TK_INLINE void pack_turned(float *out, const float *p, ptrdiff_t along, int32_t k, int32_t width) {
    int32_t fours = k & ~3;
    for (int32_t i = 0; i < (width & ~3); i += 4)
        for (int32_t j = 0; j < fours; j += 4)
            across(out + j * width + i, width, p + i * along + j, along);
    for (int32_t i = width & ~3; i < width; i++)
        for (int32_t j = 0; j < fours; j++) out[j * width + i] = p[i * along + j];
    for (int32_t j = fours; j < k; j++)
        for (int32_t i = 0; i < width; i++) out[j * width + i] = p[i * along + j];
}

/* One panel of a whole width: each width has loops of its own. */
static void pack_panel(float *out, const float *p, ptrdiff_t along, ptrdiff_t step, int32_t k,
                       int32_t width) {
    switch (width * 2 + (along == 1)) {
    case 8:
        return pack_turned(out, p, along, k, 4);
    case 9:
        return pack_beside(out, p, step, k, 4);
    case 12:
        return pack_turned(out, p, along, k, 6);
    case 13:
        return pack_beside(out, p, step, k, 6);
    case 16:
        return pack_turned(out, p, along, k, 8);
    case 17:
        return pack_beside(out, p, step, k, 8);
    case 32:
        return pack_turned(out, p, along, k, 16);
    default:
        return pack_beside(out, p, step, k, 16);
    }
}

/* n lines of a view, `along` from one to the next and `step` from element to element, one of them
 * 1, as panels of `width` lines: panel, k, line. The last panel is filled with zeros. */
static void pack(float *out, const float *p, ptrdiff_t along, ptrdiff_t step, int32_t n, int32_t k,
                 int32_t width) {
    for (; n >= width; n -= width, p += width * along, out += (ptrdiff_t)k * width)
        pack_panel(out, p, along, step, k, width);
    if (n <= 0) return;
    for (int32_t j = 0; j < k; j++)
        for (int32_t i = 0; i < width; i++)
            out[j * width + i] = i < n ? p[i * along + j * step] : 0.0f;
}

/* A tile that sticks out of c, by way of one that does not. */
static void edge(const tk_shape *s, float *whole, float *c, ptrdiff_t ldc, int32_t m, int32_t n,
                 const float *a, const float *b, int32_t k, int32_t add) {
    if (add)
        for (int32_t i = 0; i < m; i++)
            for (int32_t j = 0; j < n; j++) whole[i * s->cols + j] = c[i * ldc + j];
    s->run(whole, s->cols, a, b, k, add);
    for (int32_t i = 0; i < m; i++)
        for (int32_t j = 0; j < n; j++) c[i * ldc + j] = whole[i * s->cols + j];
}

/* One block from its panels. */
static void block(const tk_shape *s, float *whole, float *c, ptrdiff_t ldc, const float *a,
                  const float *b, int32_t m, int32_t n, int32_t k, int32_t add) {
    for (int32_t j = 0; j < n; j += s->cols) {
        for (int32_t i = 0; i < m; i += s->rows) {
            const float *pa = a + (ptrdiff_t)i * k, *pb = b + (ptrdiff_t)j * k;
            if (m - i >= s->rows && n - j >= s->cols)
                s->run(c + i * ldc + j, ldc, pa, pb, k, add);
            else
                edge(s, whole, c + i * ldc + j, ldc, m - i < s->rows ? m - i : s->rows,
                     n - j < s->cols ? n - j : s->cols, pa, pb, k, add);
        }
    }
}

TK_INLINE int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

/* c [m][n] (+)= a [m][k] b [k][n], by the thread that calls, in its own scratch. */
void tk_gemm(float *scratch, float *c, ptrdiff_t ldc, tk_view a, tk_view b, int32_t m, int32_t n,
             int32_t k, int32_t add) {
    const tk_shape *s = shape();
    float *pa = scratch, *pb = pa + ROWS * DEPTH, *whole = pb + COLS * DEPTH;
    for (int32_t j = 0; j < n; j += COLS) {
        int32_t nj = least(COLS, n - j);
        for (int32_t l = 0; l < k; l += DEPTH) {
            int32_t kl = least(DEPTH, k - l);
            pack(pb, b.p + l * b.row + j * b.col, b.col, b.row, nj, kl, s->cols);
            for (int32_t i = 0; i < m; i += ROWS) {
                int32_t mi = least(ROWS, m - i);
                pack(pa, a.p + i * a.row + l * a.col, a.row, a.col, mi, kl, s->rows);
                block(s, whole, c + i * ldc + j, ldc, pa, pb, mi, nj, kl, add || l > 0);
            }
        }
    }
}

typedef struct {
    float *scratch, *c;
    const float *a, *b;
    int32_t m, n, k;
} tk_product;

static void product_part(void *argument, int32_t part, int32_t parts) {
    const tk_product *p = argument;
    int32_t first = tk_share(p->m, ROWS, part, parts), last = tk_share(p->m, ROWS, part + 1, parts);
    tk_gemm(p->scratch + (size_t)part * tk_gemm_scratch(), p->c + (ptrdiff_t)first * p->n, p->n,
            by_rows(p->a + (ptrdiff_t)first * p->k, p->k), by_rows(p->b, p->n), last - first, p->n,
            p->k, 0);
}

/* For measurements and tests: c [m][n] = a [m][k] b [k][n], row by row, by all threads, `times`
 * times. Returns 0, or -1 without memory. */
TK_EXPORT tk_int tk_train_product(tk_int c, tk_int a, tk_int b, tk_int m, tk_int n, tk_int k,
                                  tk_int times) {
    float *scratch = tk_new((size_t)tk_pool_threads() * tk_gemm_scratch() * sizeof(float));
    if (!scratch) return -1;
    tk_product p = {scratch, (float *)c, (const float *)a, (const float *)b,
                    (int32_t)m, (int32_t)n, (int32_t)k};
    for (; times > 0; times--) tk_parallel(product_part, &p);
    tk_delete(scratch);
    return 0;
}
