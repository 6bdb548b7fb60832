/* Loaded before the C library (LD_PRELOAD): a clock that is wrong, and a disk that is slow, broken, full or lies.
 *
 * SAGA_FN_SHIM names a file of five 64-bit numbers, which a test changes while the program runs:
 * 0: microseconds by which the wall clock is ahead      1: microseconds that each fsync takes
 * 2: how many of the next fsyncs fail with EIO          3: 1 if fsync does nothing
 * 4: 1 if writes to tables find no room, 2 if those to the WAL find none either
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int64_t calm[5];
static volatile int64_t *told = calm;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SAGA_FN_SHIM");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof calm, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) told = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && told[0]) {
        int64_t nanos = now->tv_nsec + (told[0] % 1000000) * 1000;
        now->tv_sec += told[0] / 1000000;
        while (nanos < 0) { nanos += 1000000000; now->tv_sec--; }
        while (nanos >= 1000000000) { nanos -= 1000000000; now->tv_sec++; }
        now->tv_nsec = nanos;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact) != 0) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (where) *where = exact.tv_sec;
    return exact.tv_sec;
}

/* Whether an fsync is to be done at all; -1 if it fails. */
static int synced(void) {
    if (told[1]) usleep(told[1]);
    if (told[2] > 0 && __atomic_fetch_sub(&told[2], 1, __ATOMIC_SEQ_CST) > 0) {
        errno = EIO;
        return -1;
    }
    return told[3] ? 0 : 1;
}

int fsync(int file) { int how = synced(); return how == 1 ? syscall(SYS_fsync, file) : how; }
int fdatasync(int file) { int how = synced(); return how == 1 ? syscall(SYS_fdatasync, file) : how; }

/* Whether a write to this file finds no room. */
static int full(int file) {
    char link[64], path[4096];
    if (!told[4]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, "/base/") && !(told[4] > 1 && strstr(path, "/pg_wal/"))) return 0;
    errno = ENOSPC;
    return 1;
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
    return full(file) ? -1 : syscall(SYS_pwrite64, file, bytes, size, at);
}
ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) { return pwrite64(file, bytes, size, at); }
ssize_t pwritev64(int file, const struct iovec *parts, int many, off64_t at) {
    return full(file) ? -1 : syscall(SYS_pwritev, file, parts, (long)many, (long)at, 0L);
}
ssize_t pwritev(int file, const struct iovec *parts, int many, off_t at) { return pwritev64(file, parts, many, at); }
int posix_fallocate64(int file, off64_t at, off64_t size) {
    if (full(file)) return ENOSPC;
    return syscall(SYS_fallocate, file, 0, at, size) == 0 ? 0 : errno;
}
int posix_fallocate(int file, off_t at, off_t size) { return posix_fallocate64(file, at, size); }
