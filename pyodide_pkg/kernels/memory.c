/* Where kernel memory comes from: the C library's heap, natively and in Pyodide. */
#include "thimble.h"

#if defined(__wasm__)
#define TK_HOST(name) __attribute__((import_module("env"), import_name(name)))
#else
#define TK_HOST(name)
#endif

TK_HOST("malloc") void *malloc(size_t bytes);
TK_HOST("free") void free(void *p);

enum { ALIGN = 64 };

void tk_move(void *dst, const void *src, size_t bytes) {
    __builtin_memmove(dst, src, bytes);
}

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
TK_EXPORT tk_int tk_alloc(tk_int bytes) {
    return bytes < 0 ? 0 : (tk_int)tk_new((size_t)bytes);
}

TK_EXPORT tk_int tk_free(tk_int address) {
    tk_delete((void *)address);
    return 0;
}

TK_EXPORT tk_int tk_copy(tk_int dst, tk_int src, tk_int bytes) {
    tk_move((void *)dst, (const void *)src, (size_t)bytes);
    return 0;
}
