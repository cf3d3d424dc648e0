/* A CUDA driver without a GPU: device memory is this machine's, copies happen at once, and rules are kept: a thread
   that hasn't made the context its own, memory that isn't there, and addresses that weren't given are errors. */

#include <stdlib.h>
#include <string.h>

#define OUT_OF_MEMORY 2
#define INVALID_VALUE 1
#define INVALID_CONTEXT 201
#define MOST 4096

static size_t total = 1u << 30, used;
static struct { char *start; size_t size; int pinned; } blocks[MOST];
static __thread void *current;
static int the_context, initialised;

void standin_set_total(size_t bytes) { total = bytes; }
size_t standin_used(void) { return used; }

static int find(void *start, size_t size, int pinned) {
  for (int i = 0; i < MOST; i++)
    if (blocks[i].start && blocks[i].pinned == pinned && (char *)start >= blocks[i].start &&
        (char *)start + size <= blocks[i].start + blocks[i].size)
      return i;
  return -1;
}

static int take(void **out, size_t size, int pinned) {
  if (!pinned && size > total - used) return OUT_OF_MEMORY;
  for (int i = 0; i < MOST; i++)
    if (!blocks[i].start) {
      blocks[i].start = malloc(size), blocks[i].size = size, blocks[i].pinned = pinned;
      if (!pinned) used += size;
      *out = blocks[i].start;
      return 0;
    }
  return OUT_OF_MEMORY;
}

static int give(void *start, int pinned) {
  int i = find(start, 1, pinned);
  if (i < 0 || blocks[i].start != start) return INVALID_VALUE;
  if (!pinned) used -= blocks[i].size;
  free(blocks[i].start);
  blocks[i].start = 0;
  return 0;
}

#define NEEDS_CONTEXT if (current != &the_context) return INVALID_CONTEXT

int cuInit(unsigned flags) { initialised = 1; return flags ? INVALID_VALUE : 0; }
int cuDriverGetVersion(int *version) { *version = 12060; return 0; }
int cuDeviceGetCount(int *count) { *count = getenv("STANDIN_NO_GPU") ? 0 : 1; return !initialised; }
int cuDeviceGet(int *device, int ordinal) { *device = 7; return ordinal ? INVALID_VALUE : 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "Stand-in driver", length); return device != 7; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  *value = attribute == 75 ? 8 : attribute == 76 ? 7 : attribute == 18 ? 0 : -1;
  return device != 7;
}
int cuDevicePrimaryCtxRetain(void **context, int device) { *context = &the_context; return device != 7; }
int cuCtxSetCurrent(void *context) { current = context; return context != &the_context; }
int cuMemGetInfo_v2(size_t *free, size_t *all) { NEEDS_CONTEXT; *free = total - used, *all = total; return 0; }
int cuMemAlloc_v2(unsigned long long *address, size_t size) {
  NEEDS_CONTEXT;
  void *start;
  int code = take(&start, size, 0);
  if (!code) *address = (unsigned long long)start;
  return code;
}
int cuMemFree_v2(unsigned long long address) { NEEDS_CONTEXT; return give((void *)address, 0); }
int cuMemHostAlloc(void **address, size_t size, unsigned flags) { NEEDS_CONTEXT; return flags ? INVALID_VALUE : take(address, size, 1); }
int cuMemFreeHost(void *address) { NEEDS_CONTEXT; return give(address, 1); }
int cuStreamCreate(void **stream, unsigned flags) { NEEDS_CONTEXT; *stream = malloc(1); return flags != 1; }
int cuStreamSynchronize(void *stream) { NEEDS_CONTEXT; return stream ? 0 : INVALID_VALUE; }
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t size, void *stream) {
  NEEDS_CONTEXT;
  if (!stream || find((void *)to, size, 0) < 0 || find((void *)from, size, 1) < 0) return INVALID_VALUE;
  memcpy((void *)to, from, size);
  return 0;
}
int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t size, void *stream) {
  NEEDS_CONTEXT;
  if (!stream || find((void *)from, size, 0) < 0 || find(to, size, 1) < 0) return INVALID_VALUE;
  memcpy(to, (void *)from, size);
  return 0;
}
int cuGetErrorName(int code, const char **name) {
  *name = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : code == INVALID_CONTEXT ? "CUDA_ERROR_INVALID_CONTEXT" : "CUDA_ERROR_INVALID_VALUE";
  return 0;
}
