/* Notes what a lost machine would still have. Preloaded into the server (LD_PRELOAD), read by tests/ledger/crash.py.
 *
 * Rules
 *   - Only fsync and fdatasync make anything safe. sync_file_range does not: it flushes no metadata and no disk cache.
 *   - What is safe is what was there when the sync *started*; it is noted when the sync has *succeeded*. The server
 *     hears of the success after the note, so it can promise nothing that is not noted.
 *   - A file is known by its inode: a rename does not make its bytes any safer, nor less safe.
 *   - A name is safe once its folder was synced. What a rename replaces or an unlink takes away is kept by a second
 *     link in $FSYNC_KEEP, so that it can come back; and so no inode is used twice.
 *
 * Lines of $FSYNC_LOG
 *   file INODE LENGTH           this much of the file is safe
 *   cut INODE LENGTH            the file was cut to this length
 *   folder PATH                 what follows, up to "end", is all that the folder holds for sure
 *   name INODE NAME
 *   end
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST_NOTE 65536

/* A note that cannot be written would make a test believe in a loss that is none, or the reverse. */
static void must(int truth) {
    if (!truth) abort();
}

static const char *setting(const char *name) {
    const char *value = getenv(name);
    must(value != NULL);
    return value;
}

/* One write, so that the lines of two threads do not mix. */
static void note(const char *text) {
    int log = open(setting("FSYNC_LOG"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    ssize_t length = (ssize_t)strlen(text);
    must(log >= 0 && write(log, text, (size_t)length) == length);
    close(log);
}

static void note_length(const char *what, ino_t inode, off_t length) {
    char line[80];
    snprintf(line, sizeof line, "%s %lu %lld\n", what, (unsigned long)inode, (long long)length);
    note(line);
}

static void list_folder(int fd, char *text) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    must(length > 0);
    path[length] = 0;
    DIR *folder = opendir(path);
    must(folder != NULL);
    int used = snprintf(text, MOST_NOTE, "folder %s\n", path);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_type != DT_REG) continue;
        used += snprintf(text + used, (size_t)(MOST_NOTE - used), "name %lu %s\n", (unsigned long)entry->d_ino, entry->d_name);
        must(used < MOST_NOTE - 8);
    }
    strcpy(text + used, "end\n");
    closedir(folder);
}

static int synced(int fd, const char *name) {
    int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    char names[MOST_NOTE];
    struct stat before;
    must(fstat(fd, &before) == 0);
    if (S_ISDIR(before.st_mode)) list_folder(fd, names);
    int outcome = sync(fd);
    int error = errno;
    if (outcome == 0 && S_ISDIR(before.st_mode)) note(names);
    if (outcome == 0 && S_ISREG(before.st_mode)) note_length("file", before.st_ino, before.st_size);
    errno = error;
    return outcome;
}

int fsync(int fd) { return synced(fd, "fsync"); }

int fdatasync(int fd) { return synced(fd, "fdatasync"); }

static void keep(const char *path) {
    char kept[PATH_MAX];
    struct stat facts;
    int error = errno;
    if (lstat(path, &facts) == 0 && S_ISREG(facts.st_mode)) {
        snprintf(kept, sizeof kept, "%s/%lu", setting("FSYNC_KEEP"), (unsigned long)facts.st_ino);
        must(link(path, kept) == 0 || errno == EEXIST);
    }
    errno = error;
}

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    keep(to);
    return real(from, to);
}

int unlink(const char *path) {
    int (*real)(const char *) = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
    keep(path);
    return real(path);
}

static int cut(int fd, off64_t length) {
    int (*real)(int, off64_t) = (int (*)(int, off64_t))dlsym(RTLD_NEXT, "ftruncate64");
    struct stat facts;
    must(fstat(fd, &facts) == 0);
    int outcome = real(fd, length);
    int error = errno;
    if (outcome == 0 && S_ISREG(facts.st_mode)) note_length("cut", facts.st_ino, length);
    errno = error;
    return outcome;
}

int ftruncate(int fd, off_t length) { return cut(fd, length); }

int ftruncate64(int fd, off64_t length) { return cut(fd, length); }
