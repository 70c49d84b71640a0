/* Where kernel memory comes from: the C library's heap, natively and in Pyodide; a heap of our own
 * where the kernels stand alone in a shared memory. */
#include "thimble.h"

#if defined(__wasm_atomics__)

/* One list of free pieces in the order of their addresses: few and large allocations, made by one
 * thread, do not need more. A piece is headed by its size, the head included. */
typedef struct tk_piece {
    size_t size;
    struct tk_piece *next;
} tk_piece;

enum { PAGE = 65536, HEAD = 16 };
extern uint8_t __heap_base;
static tk_piece *first_free;
static uintptr_t heap_end;

static void give_back(tk_piece *piece) {
    tk_piece **link = &first_free, *before = NULL;
    while (*link && *link < piece) {
        before = *link;
        link = &before->next;
    }
    piece->next = *link;
    *link = piece;
    if (piece->next && (uintptr_t)piece + piece->size == (uintptr_t)piece->next) {
        piece->size += piece->next->size;
        piece->next = piece->next->next;
    }
    if (before && (uintptr_t)before + before->size == (uintptr_t)piece) {
        before->size += piece->size;
        before->next = piece->next;
    }
}

/* Adds pages that hold at least `size` bytes. */
static int grow(size_t size) {
    if (!heap_end) {
        heap_end = (uintptr_t)__builtin_wasm_memory_size(0) * PAGE;
        uintptr_t base = ((uintptr_t)&__heap_base + HEAD - 1) & ~(uintptr_t)(HEAD - 1);
        if (heap_end > base + HEAD) {
            ((tk_piece *)base)->size = heap_end - base;
            give_back((tk_piece *)base);
        }
    }
    size_t pages = (size + PAGE - 1) / PAGE;
    size_t was = __builtin_wasm_memory_grow(0, pages);
    if (was == (size_t)-1) return 0;
    tk_piece *piece = (tk_piece *)(was * PAGE);
    piece->size = pages * PAGE;
    heap_end = (was + pages) * PAGE;
    give_back(piece);
    return 1;
}

static void *malloc(size_t bytes) {
    if (bytes > (size_t)PTRDIFF_MAX - PAGE) return NULL;
    size_t size = (bytes + HEAD + HEAD - 1) & ~(size_t)(HEAD - 1);
    do {
        for (tk_piece **link = &first_free; *link; link = &(*link)->next) {
            tk_piece *piece = *link;
            if (piece->size < size) continue;
            if (piece->size >= size + 4 * HEAD) {
                tk_piece *rest = (tk_piece *)((uintptr_t)piece + size);
                rest->size = piece->size - size;
                rest->next = piece->next;
                *link = rest;
                piece->size = size;
            } else {
                *link = piece->next;
            }
            return (uint8_t *)piece + HEAD;
        }
    } while (grow(size));
    return NULL;
}

static void free(void *p) { give_back((tk_piece *)((uint8_t *)p - HEAD)); }

#elif defined(__wasm__)
__attribute__((import_module("env"), import_name("malloc"))) void *malloc(size_t bytes);
__attribute__((import_module("env"), import_name("free"))) void free(void *p);
#else
void *malloc(size_t bytes);
void free(void *p);
#endif

enum { ALIGN = 64 };

void tk_move(void *dst, const void *src, size_t bytes) { __builtin_memmove(dst, src, bytes); }

void *tk_new(size_t bytes) {
    if (bytes > PTRDIFF_MAX - 2 * ALIGN) return NULL;
    uint8_t *raw = malloc(bytes + ALIGN + sizeof(void *));
    if (!raw) return NULL;
    uintptr_t at = ((uintptr_t)raw + sizeof(void *) + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1);
    ((void **)at)[-1] = raw;
    __builtin_memset((void *)at, 0, bytes);
    return (void *)at;
}

void tk_delete(void *p) {
    if (p) free(((void **)p)[-1]);
}

TK_EXPORT tk_int tk_abi(void) { return TK_ABI_VERSION; }

/* Returns an address, or 0. */
TK_EXPORT tk_int tk_alloc(tk_int bytes) { return bytes < 0 ? 0 : (tk_int)tk_new((size_t)bytes); }

TK_EXPORT tk_int tk_free(tk_int address) {
    tk_delete((void *)address);
    return 0;
}

TK_EXPORT tk_int tk_copy(tk_int dst, tk_int src, tk_int bytes) {
    tk_move((void *)dst, (const void *)src, (size_t)bytes);
    return 0;
}
