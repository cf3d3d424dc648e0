/* A disk that fails, for one process: loaded by LD_PRELOAD, it does nothing until fail() is called.
 *
 * fail(kind, number, nth, for_good, folder): from the nth call of that kind on a file under the folder, the call fails
 * with the error number, once or for good. Kinds: 1 writes, 2 syncs, 3 renames, 4 writes that take half of the bytes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, WRITE, SYNC, RENAME, SHORT };
static int kind = NONE, number, left, for_good;
static char folder[PATH_MAX];
static long hits;

void fail(int a_kind, int a_number, int nth, int a_for_good, const char *a_folder) {
    number = a_number; left = nth; for_good = a_for_good; hits = 0;
    snprintf(folder, sizeof folder, "%s", a_folder);
    kind = a_kind;
}
long failed(void) { return hits; }

static int under(const char *path) { return !strncmp(path, folder, strlen(folder)); }
static int opened_under(int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return under(path);
}
static int now(int a_kind) {
    if (kind != a_kind || left > 1) { if (kind == a_kind) left--; return 0; }
    if (left == 1) left = 0;
    else if (!for_good) return 0;
    hits++;
    return 1;
}
#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))
#define FAILS(a_kind, where) (kind == (a_kind) && (where) && now(a_kind) && (errno = number))

ssize_t write(int f, const void *data, size_t size) {
    if (FAILS(WRITE, opened_under(f))) return -1;
    if (size > 1 && FAILS(SHORT, opened_under(f))) size /= 2;
    return REAL(write)(f, data, size);
}
ssize_t pwrite(int f, const void *data, size_t size, off_t at) {
    if (FAILS(WRITE, opened_under(f))) return -1;
    if (size > 1 && FAILS(SHORT, opened_under(f))) size /= 2;
    return REAL(pwrite)(f, data, size, at);
}
ssize_t pwrite64(int f, const void *data, size_t size, off_t at) {
    if (FAILS(WRITE, opened_under(f))) return -1;
    if (size > 1 && FAILS(SHORT, opened_under(f))) size /= 2;
    return REAL(pwrite64)(f, data, size, at);
}
ssize_t writev(int f, const struct iovec *parts, int count) {
    if (FAILS(WRITE, opened_under(f))) return -1;
    return REAL(writev)(f, parts, count);
}
size_t fwrite(const void *data, size_t size, size_t count, FILE *f) {
    if (FAILS(WRITE, opened_under(fileno(f)))) return 0;
    return REAL(fwrite)(data, size, count, f);
}
int fsync(int f) { return FAILS(SYNC, opened_under(f)) ? -1 : REAL(fsync)(f); }
int fdatasync(int f) { return FAILS(SYNC, opened_under(f)) ? -1 : REAL(fdatasync)(f); }
int rename(const char *old, const char *new) {
    return FAILS(RENAME, under(old) || under(new)) ? -1 : REAL(rename)(old, new);
}
int renameat(int a, const char *old, int b, const char *new) {
    return FAILS(RENAME, under(old) || under(new)) ? -1 : REAL(renameat)(a, old, b, new);
}
int renameat2(int a, const char *old, int b, const char *new, unsigned flags) {
    return FAILS(RENAME, under(old) || under(new)) ? -1 : REAL(renameat2)(a, old, b, new, flags);
}
