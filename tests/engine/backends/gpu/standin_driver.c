/* A CUDA driver without a GPU: device memory is this machine's, copies happen at once, and rules are kept: a thread
   that hasn't made the context its own, memory that isn't there, and addresses that weren't given are errors. Kernels
   are run by whoever calls standin_set_runner, with their name and arguments. */

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
#define MOST_FUNCTIONS 64
typedef int (*runner_t)(const char *name, unsigned programs, unsigned threads, unsigned shared, void **arguments);
static runner_t runner;
static struct { char name[64]; int shared; } functions[MOST_FUNCTIONS];
static int made;
void standin_set_runner(runner_t chosen) { runner = chosen; }
/* Every test has a GPU of its own: what the ones before still hold is no longer known. */
void standin_reset(void) { memset(blocks, 0, sizeof blocks); used = made = 0; total = 1u << 30; }
size_t standin_size(void *address) { int i = find(address, 1, 0); return i < 0 ? 0 : blocks[i].start + blocks[i].size - (char *)address; }

int cuModuleLoadData(void **module, const char *image) {
  NEEDS_CONTEXT;
  const char *entry = strstr(image, ".visible .entry ");
  if (!entry || !strstr(image, ".target sm_80") || !strstr(image, ".version 8.4")) return INVALID_VALUE;
  *module = strdup(entry + 16);
  return 0;
}
int cuModuleGetFunction(void **function, void *module, const char *name) {
  NEEDS_CONTEXT;
  size_t length = strlen(name);
  if (strncmp(module, name, length) || ((char *)module)[length] != '(' || made == MOST_FUNCTIONS) return INVALID_VALUE;
  strcpy(functions[made].name, name);
  functions[made].shared = 48 << 10;
  *function = &functions[made++];
  return 0;
}
int cuFuncSetAttribute(void *function, int attribute, int value) {
  NEEDS_CONTEXT;
  if (attribute != 8 || value > 99 << 10) return INVALID_VALUE;
  ((int *)((char *)function + 64))[0] = value;
  return 0;
}
int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned v, unsigned w,
                   unsigned shared, void *stream, void **arguments, void **extra) {
  NEEDS_CONTEXT;
  int most = ((int *)((char *)function + 64))[0];
  if (!x || y != 1 || z != 1 || threads % 32 || threads > 1024 || v != 1 || w != 1 || (int)shared > most || !stream || extra || !runner)
    return INVALID_VALUE;
  return runner(function, x, threads, shared, arguments);
}
int cuGetErrorName(int code, const char **name) {
  *name = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : code == INVALID_CONTEXT ? "CUDA_ERROR_INVALID_CONTEXT" : "CUDA_ERROR_INVALID_VALUE";
  return 0;
}
