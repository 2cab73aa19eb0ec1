/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * dircopy: a graph driver in C, as small as one can be. Every layer is a directory, a child is a copy of its parent made by
 * `cp`, and a mount is the directory itself. On disk:
 *
 *     HOME/layers/ID/            the tree of a layer
 *     HOME/staging/XXXXXX/tree   a layer in the making, or one that was removed; who works on it holds a flock on XXXXXX
 *
 * docs/adding-a-driver.md walks through it.
 */
#define _GNU_SOURCE
#include "lamina_driver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define STR(text) ((struct lamina_str){ (text), strlen(text) })
/* Some libraries call it by another name. */
#define TREE_CLONE 1u

typedef const struct lamina_call *call_t;
struct lamina_driver { char home[PATH_MAX]; };
/* How ids change on the way from the maps of a parent to those of its child. */
struct shift { struct lamina_maps from, to; ino_t *seen; size_t seen_count; };
/* A private place: the directory, its descriptor with the lock, and what the layer in it started from (-1: nothing). */
struct lamina_staged { struct shift shift; bool shifts; char home[PATH_MAX]; char place[PATH_MAX]; int lock; int origin; char origin_path[PATH_MAX]; bool kept; };
struct lamina_trash { char place[PATH_MAX]; int lock; };
/* The layer's directory with a shared lock, and the mount that the descriptor of the root lives in. */
struct lamina_view { int dir; int tree; char path[PATH_MAX]; };

/* ---- errors ---------------------------------------------------------------------------------------------------------- */

static int32_t fail(call_t call, int32_t kind, const char *operation, const char *path, const char *detail, int number)
{
    struct lamina_error error = { .size = sizeof error, .operation = STR(operation), .path = STR(path), .detail = STR(detail),
                                  .number = number };
    call->fail(call->context, &error);
    return kind;
}

/* The error of a system call that has just failed. */
static int32_t failed(call_t call, const char *operation, const char *path)
{
    int number = errno;
    int32_t kind = number == ENOENT || number == ENOTDIR ? LAMINA_E_NOT_FOUND
                   : number == EACCES || number == EPERM ? LAMINA_E_PERMISSION
                   : number == ENOSPC || number == EDQUOT ? LAMINA_E_NO_SPACE : LAMINA_E_IO;
    return fail(call, kind, operation, path, "", number);
}

static int32_t path_of(call_t call, char *to, const char *home, const char *middle, struct lamina_str last)
{
    if (snprintf(to, PATH_MAX, "%s/%s%.*s", home, middle, (int)last.length, last.data) >= PATH_MAX)
        return fail(call, LAMINA_E_USAGE, "name path", home, "it is too long", 0);
    return 0;
}

static int32_t layer_path(call_t call, char *to, const char *home, struct lamina_place place)
{
    if (place.home != LAMINA_OWN)
        return fail(call, LAMINA_E_NOT_SUPPORTED, "find home", home, "dircopy has one home", 0);
    return path_of(call, to, home, "layers/", place.id);
}

static bool same(struct stat a, struct stat b)
{
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* LAMINA_E_CHANGED unless the descriptor is still what stands at the path. */
static int32_t still_there(call_t call, int fd, const char *path)
{
    struct stat held, found;
    if (fstat(fd, &held) || lstat(path, &found) || !same(held, found))
        return fail(call, LAMINA_E_CHANGED, "read layer", path, "it was removed or replaced meanwhile", 0);
    return 0;
}

/* ---- trees ----------------------------------------------------------------------------------------------------------- */

/* Runs a program and waits for it. -1 with errno where that can't be, or how it ended; its step may say that it is to stop. */
static int run(call_t call, int32_t *stop, char *const arguments[])
{
    char *environment[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL };
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
    pid_t child, ended;
    int status;
    errno = posix_spawnp(&child, arguments[0], &files, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&files);
    if (errno)
        return -1;
    while ((ended = waitpid(child, &status, WNOHANG)) == 0) {
        if (call && !*stop && (*stop = call->step(call->context, 0, 0)))
            kill(child, SIGKILL);
        nanosleep(&(struct timespec){ .tv_nsec = 500000 }, NULL);
    }
    return ended == child ? status : -1; /* -1: somebody else in the process waited for it, and knows how it ended */
}

/* Deletes a tree. A file marked immutable or append-only goes like any other. */
static int32_t remove_tree(call_t call, char *path)
{
    int32_t stop = 0;
    char *rm[] = { "rm", "-rf", "--", path, NULL }, *unmark[] = { "chattr", "-R", "-f", "-ia", "--", path, NULL };
    int status = run(call, &stop, rm);
    if (status > 0 && !stop) {
        run(call, &stop, unmark);
        status = run(call, &stop, rm);
    }
    if (status < 0 && call)
        return failed(call, "run rm", path);
    return stop || !status || !call ? stop : fail(call, LAMINA_E_IO, "delete tree", path, "rm failed", 0);
}

/* Copies all of `from` into `to` by cp, which knows holes, links, devices, owners, times, xattrs and shared blocks. */
static int32_t copy_tree(call_t call, int from, char *to)
{
    int32_t stop = 0;
    char source[64];
    snprintf(source, sizeof source, "/proc/%d/fd/%d/.", getpid(), from);
    int status = run(call, &stop, (char *[]){ "cp", "-a", "--", source, to, NULL });
    if (status < 0)
        return failed(call, "run cp", to);
    return stop || !status ? stop : fail(call, LAMINA_E_IO, "copy layer", to, "cp failed; is there space?", 0);
}

/* Where an id goes from one map to another: inside by the first, outside again by the second. -1: nowhere. */
static int64_t moved(const struct lamina_range *from, size_t from_count, const struct lamina_range *to, size_t to_count, uint64_t id)
{
    size_t i = 0;
    while (i < from_count && id - from[i].host_id >= from[i].size)
        i++;
    if (from_count && i == from_count)
        return -1;
    uint64_t inside = from_count ? from[i].container_id + (id - from[i].host_id) : id;
    for (i = 0; i < to_count; i++)
        if (inside - to[i].container_id < to[i].size)
            return (int64_t)(to[i].host_id + (inside - to[i].container_id));
    return to_count ? -1 : (int64_t)inside;
}

/* Gives `name`, and what is below it, the owners of the new maps. An inode with several names is changed once. */
static int32_t change_owners(call_t call, struct shift *shift, int at, const char *name, const char *path)
{
    struct stat found;
    char link[PATH_MAX], capability[64];
    if (fstatat(at, name, &found, AT_SYMLINK_NOFOLLOW))
        return failed(call, "lstat", path);
    bool is_dir = S_ISDIR(found.st_mode), seen = false;
    for (size_t i = 0; i < shift->seen_count && !is_dir && found.st_nlink > 1; i++)
        seen |= shift->seen[i] == found.st_ino;
    if (seen)
        return 0;
    if (!is_dir && found.st_nlink > 1) {
        ino_t *more = realloc(shift->seen, (shift->seen_count + 1) * sizeof *more);
        if (!more)
            return fail(call, LAMINA_E_IO, "chown tree", path, "no memory", ENOMEM);
        shift->seen = more;
        shift->seen[shift->seen_count++] = found.st_ino;
    }
    const struct lamina_maps *from = &shift->from, *to = &shift->to;
    int64_t uid = moved(from->uids, from->uid_count, to->uids, to->uid_count, found.st_uid);
    int64_t gid = moved(from->gids, from->gid_count, to->gids, to->gid_count, found.st_gid);
    if (uid < 0 || gid < 0)
        return fail(call, LAMINA_E_INVALID_MAPPINGS, "chown tree", path, "an owner is outside of the maps", 0);
    if (snprintf(link, sizeof link, "/proc/self/fd/%d/%s", at, name) >= PATH_MAX)
        return fail(call, LAMINA_E_IO, "chown tree", path, "", ENAMETOOLONG);
    /* A change of owner takes these away. */
    ssize_t length = S_ISREG(found.st_mode) ? lgetxattr(link, "security.capability", capability, sizeof capability) : -1;
    if (fchownat(at, name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW)
        || (!S_ISLNK(found.st_mode) && fchmodat(at, name, found.st_mode & 07777, 0))
        || (length > 0 && lsetxattr(link, "security.capability", capability, (size_t)length, 0)))
        return failed(call, "chown", path);
    int32_t code = call->step(call->context, 0, 1);
    if (code || !is_dir)
        return code;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return failed(call, "open(directory)", path);
    for (struct dirent *entry; !code && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            code = change_owners(call, shift, dirfd(dir), entry->d_name, path);
    closedir(dir);
    return code;
}

/* A new private place, locked. A sweeper may take it between the two, so look again. */
static int32_t make_place(call_t call, const char *home, char *place, int *lock)
{
    for (;;) {
        int32_t code = path_of(call, place, home, "staging/", STR("XXXXXX"));
        if (code)
            return code;
        if (!mkdtemp(place))
            return failed(call, "mkdtemp", place);
        struct stat held, found;
        *lock = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        bool works = *lock >= 0 && !flock(*lock, LOCK_EX | LOCK_NB) && !fstat(*lock, &held) && !lstat(place, &found);
        if (works && same(held, found))
            return 0;
        int number = errno;
        if (*lock >= 0)
            close(*lock);
        if (works || number == ENOENT || number == EWOULDBLOCK)
            continue;
        rmdir(place);
        errno = number;
        return failed(call, "lock staging", place);
    }
}

/* Deletes a place whose lock is held, unless a view of what was removed is open. */
static int32_t reclaim(call_t call, char *place, int lock)
{
    int tree = openat(lock, "tree", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool viewed = tree >= 0 && flock(tree, LOCK_EX | LOCK_NB);
    int32_t code = viewed ? 0 : remove_tree(call, place);
    if (tree >= 0)
        close(tree);
    close(lock);
    return code;
}

/* ---- the driver ------------------------------------------------------------------------------------------------------ */

/* Why it can't work as it is asked to: the kind of the error, and the words. */
static int32_t refusal(const struct lamina_request *request, char words[80])
{
    const char *why = request->image_home.length || request->additional_count ? "it works in one home only, without image stores"
                      : request->home.length > PATH_MAX / 2 ? "the path of its home is too long" : "";
    strcpy(words, why);
    if (!request->option_count)
        return *why ? LAMINA_E_DRIVER_UNUSABLE : 0;
    snprintf(words, 80, "unknown option %.*s", (int)request->options->key.length, request->options->key.data);
    return LAMINA_E_USAGE;
}

static int32_t survey(call_t call, const struct lamina_request *request, int32_t *usable, uint64_t *capabilities,
                      lamina_each_text reason, void *context)
{
    (void)call;
    char words[80];
    *usable = !refusal(request, words);
    *capabilities = LAMINA_CAN_D_TYPE | LAMINA_CAN_DETACHED_VIEWS;
    return reason(context, STR(*usable ? "an example that copies directories works everywhere" : words));
}

static int32_t driver_open(call_t call, const struct lamina_request *request, lamina_driver **driver)
{
    static const char *const parts[] = { "", "layers", "staging" };
    char words[80], path[PATH_MAX];
    int32_t code = refusal(request, words);
    lamina_driver *made = code ? NULL : calloc(1, sizeof *made);
    if (!made)
        return fail(call, code ? code : LAMINA_E_IO, "open dircopy", "", code ? words : "no memory", 0);
    memcpy(made->home, request->home.data, request->home.length);
    for (size_t i = 0; i < sizeof parts / sizeof *parts && !code; i++) {
        code = path_of(call, path, made->home, parts[i], STR(""));
        if (!code && mkdir(path, 0700) && errno != EEXIST)
            code = failed(call, "mkdir", path);
    }
    if (code)
        free(made);
    else
        *driver = made;
    return code;
}

static void driver_close(lamina_driver *driver) { free(driver); }

static int32_t capabilities(lamina_driver *driver, call_t call, uint64_t *bits)
{
    (void)driver, (void)call;
    *bits = LAMINA_CAN_D_TYPE | LAMINA_CAN_DETACHED_VIEWS;
    return 0;
}

static int32_t no(lamina_driver *driver, call_t call, int32_t *yes)
{
    (void)driver, (void)call;
    *yes = 0;
    return 0;
}

static int32_t mount_point(lamina_driver *driver, call_t call, const struct lamina_place *place, lamina_each_text each, void *context)
{
    char path[PATH_MAX];
    int32_t code = layer_path(call, path, driver->home, *place);
    return code ? code : each(context, STR(path));
}

static int32_t name_directories(lamina_driver *driver, call_t call, lamina_home home, lamina_each_text each, void *context)
{
    char path[PATH_MAX];
    int32_t code = path_of(call, path, driver->home, "layers", STR(""));
    return code || home != LAMINA_OWN ? code : each(context, STR(path));
}

/* Calls `each` with every name in a directory of the home. */
static int32_t each_name(lamina_driver *driver, call_t call, const char *part, int32_t (*each)(void *, const char *), void *context)
{
    char path[PATH_MAX];
    int32_t code = path_of(call, path, driver->home, part, STR(""));
    DIR *dir = code ? NULL : opendir(path);
    if (!dir)
        return code ? code : failed(call, "read directory", path);
    for (struct dirent *entry; !code && (entry = readdir(dir));)
        if (entry->d_name[0] != '.')
            code = each(context, entry->d_name);
    closedir(dir);
    return code;
}

struct sweeping { lamina_driver *driver; call_t call; uint64_t deadline, reclaimed, left; };

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000;
}

static int32_t sweep_one(void *context, const char *name)
{
    struct sweeping *sweeping = context;
    char place[PATH_MAX];
    if (path_of(sweeping->call, place, sweeping->driver->home, "staging/", STR(name)))
        return 0;
    int lock = now() >= sweeping->deadline ? -1 : open(place, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool ours = lock >= 0 && !flock(lock, LOCK_EX | LOCK_NB);
    if (lock >= 0 && !ours)
        close(lock);
    int32_t code = ours ? reclaim(sweeping->call, place, lock) : 0;
    *(ours && access(place, F_OK) ? &sweeping->reclaimed : &sweeping->left) += 1;
    return code;
}

static int32_t sweep(lamina_driver *driver, call_t call, uint64_t milliseconds, uint64_t *reclaimed, uint64_t *left)
{
    struct sweeping sweeping = { .driver = driver, .call = call, .deadline = now() + milliseconds };
    int32_t code = each_name(driver, call, "staging", sweep_one, &sweeping);
    *reclaimed = sweeping.reclaimed;
    *left = sweeping.left;
    return code;
}

/* ---- layers held shared ---------------------------------------------------------------------------------------------- */

static int32_t exists(lamina_driver *driver, call_t call, const struct lamina_place *place, int32_t *yes)
{
    char path[PATH_MAX];
    struct stat found;
    int32_t code = layer_path(call, path, driver->home, *place);
    if (code)
        return code;
    *yes = !lstat(path, &found) && S_ISDIR(found.st_mode);
    return *yes || errno == ENOENT ? 0 : failed(call, "lstat", path);
}

struct listing { lamina_each_text each; void *context; };

static int32_t list_one(void *context, const char *name)
{
    struct listing *listing = context;
    return listing->each(listing->context, STR(name));
}

static int32_t list(lamina_driver *driver, call_t call, lamina_home home, lamina_each_text each, void *context)
{
    struct listing listing = { each, context };
    if (home != LAMINA_OWN)
        return fail(call, LAMINA_E_NOT_SUPPORTED, "find home", driver->home, "dircopy has one home", 0);
    return each_name(driver, call, "layers", list_one, &listing);
}

/* The inode and when it was made: a number that is used again gets another time. */
static int32_t tell_identity(call_t call, int at, const char *path, lamina_each_text each, void *context)
{
    struct statx found;
    char text[80];
    if (statx(at, path, AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &found))
        return failed(call, "statx", path);
    snprintf(text, sizeof text, "%llu-%lld.%09u", (unsigned long long)found.stx_ino, (long long)found.stx_btime.tv_sec,
             found.stx_btime.tv_nsec);
    return each(context, STR(text));
}

static int32_t identity(lamina_driver *driver, call_t call, const struct lamina_place *place, lamina_each_text each, void *context)
{
    char path[PATH_MAX];
    int32_t code = layer_path(call, path, driver->home, *place);
    return code ? code : tell_identity(call, AT_FDCWD, path, each, context);
}

static void view_close(lamina_view *view)
{
    if (view->tree >= 0)
        close(view->tree);
    if (view->dir >= 0)
        close(view->dir);
    free(view);
}

static int32_t view_check(lamina_view *view, call_t call) { return still_there(call, view->dir, view->path); }

/* A clone of the directory's mount that no path names, read-only. The lock keeps `reclaim` away. */
static int32_t view(lamina_driver *driver, call_t call, const struct lamina_layer *layer, lamina_view **out, int32_t *root)
{
    lamina_view *made = malloc(sizeof *made);
    if (!made)
        return fail(call, LAMINA_E_IO, "view layer", "", "no memory", ENOMEM);
    made->dir = made->tree = -1;
    int32_t code = layer_path(call, made->path, driver->home, layer->place);
    struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOATIME,
                                     .attr_clr = MOUNT_ATTR__ATIME };
    if (!code && ((made->dir = open(made->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0
                  || flock(made->dir, LOCK_SH | LOCK_NB)))
        code = failed(call, "open(directory)", made->path);
    if (!code && ((made->tree = syscall(SYS_open_tree, made->dir, "", TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH)) < 0
                  || syscall(SYS_mount_setattr, made->tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes)))
        code = failed(call, "clone mount", made->path);
    if (!code)
        code = view_check(made, call);
    if (!code && (*root = openat(made->tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        code = failed(call, "openat(.)", made->path);
    if (code)
        view_close(made);
    else
        *out = made;
    return code;
}

static int32_t is_untouched(lamina_driver *driver, call_t call, const struct lamina_layer *layer, int32_t *yes)
{
    /* A copy doesn't know what of it is its own, so only an empty base layer surely has nothing. */
    char path[PATH_MAX];
    int32_t code = layer_path(call, path, driver->home, layer->place);
    DIR *dir = code || layer->ancestor_count ? NULL : opendir(path);
    *yes = 0;
    if (code || layer->ancestor_count)
        return code;
    if (!dir)
        return failed(call, "read directory", path);
    int entries = 0;
    while (entries < 3 && readdir(dir))
        entries++;
    *yes = entries == 2; /* itself and its parent */
    closedir(dir);
    return 0;
}

static int32_t is_mounted(lamina_driver *driver, call_t call, const struct lamina_place *place, int32_t *yes)
{
    (void)place;
    return no(driver, call, yes);
}

/* ---- staging --------------------------------------------------------------------------------------------------------- */

static bool same_ranges(const struct lamina_range *a, size_t count_a, const struct lamina_range *b, size_t count_b)
{
    return count_a == count_b && (count_a == 0 || !memcmp(a, b, count_a * sizeof *a));
}

static const struct lamina_range *copy_of(const struct lamina_range *ranges, size_t count)
{
    struct lamina_range *copy = calloc(count + 1, sizeof *copy);
    return copy && count ? memcpy(copy, ranges, count * sizeof *copy) : copy;
}

/* Maps that live as long as the handle; false when there is no memory. */
static bool keep_maps(struct lamina_maps *to, const struct lamina_maps *from)
{
    *to = *from;
    to->uids = copy_of(from->uids, from->uid_count);
    to->gids = copy_of(from->gids, from->gid_count);
    return to->uids && to->gids;
}

static void drop_maps(struct lamina_maps maps) { free((void *)maps.uids), free((void *)maps.gids); }

static void discard(lamina_staged *staged)
{
    drop_maps(staged->shift.from), drop_maps(staged->shift.to);
    free(staged->shift.seen);
    if (staged->origin >= 0)
        close(staged->origin);
    if (staged->lock >= 0) {
        if (!staged->kept)
            remove_tree(NULL, staged->place);
        close(staged->lock);
    }
    free(staged);
}

static uint32_t root_of(const struct lamina_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ranges[i].container_id == 0)
            return (uint32_t)ranges[i].host_id;
    return 0;
}

static int32_t begin(lamina_driver *driver, call_t call, const struct lamina_plan *plan, lamina_staged **out)
{
    const struct lamina_layer *from = plan->replacing ? plan->replacing : plan->parent;
    if (plan->option_count)
        return fail(call, LAMINA_E_NOT_SUPPORTED, "create layer", "", "--storage-opt is not supported for dircopy", 0);
    if (plan->home != LAMINA_OWN)
        return fail(call, LAMINA_E_READ_ONLY_STORE, "create layer", "", "dircopy has one home", 0);
    lamina_staged *made = calloc(1, sizeof *made);
    if (!made)
        return fail(call, LAMINA_E_IO, "create layer", "", "no memory", ENOMEM);
    made->lock = made->origin = -1;
    strcpy(made->home, driver->home);
    const struct lamina_maps *maps = &plan->maps, *parent = &plan->parent_maps;
    made->shifts = plan->parent && !(same_ranges(maps->uids, maps->uid_count, parent->uids, parent->uid_count)
                                     && same_ranges(maps->gids, maps->gid_count, parent->gids, parent->gid_count));
    bool kept = keep_maps(&made->shift.from, parent);
    if (!keep_maps(&made->shift.to, maps) || !kept) {
        discard(made);
        return fail(call, LAMINA_E_IO, "create layer", "", "no memory", ENOMEM);
    }
    int32_t code = from ? layer_path(call, made->origin_path, driver->home, from->place) : 0;
    if (!code && from && (made->origin = open(made->origin_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        code = failed(call, "open(directory)", made->origin_path);
    if (!code)
        code = make_place(call, driver->home, made->place, &made->lock);
    if (!code && (mkdirat(made->lock, "tree", 0555) || fchmodat(made->lock, "tree", 0555, 0)
                  || fchownat(made->lock, "tree", root_of(plan->maps.uids, plan->maps.uid_count),
                              root_of(plan->maps.gids, plan->maps.gid_count), AT_SYMLINK_NOFOLLOW)))
        code = failed(call, "mkdir", made->place);
    if (code)
        discard(made);
    else
        *out = made;
    return code;
}

static int32_t fill(lamina_staged *staged, call_t call)
{
    char tree[PATH_MAX];
    int32_t code = path_of(call, tree, staged->place, "tree/", STR(""));
    if (!code && staged->origin >= 0)
        code = copy_tree(call, staged->origin, tree);
    return code || !staged->shifts ? code : change_owners(call, &staged->shift, staged->lock, "tree", staged->place);
}

static int32_t staged_root(lamina_staged *staged, call_t call, int32_t *root)
{
    *root = openat(staged->lock, "tree", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *root < 0 ? failed(call, "open(directory)", staged->place) : 0;
}

static int32_t staged_identity(lamina_staged *staged, call_t call, lamina_each_text each, void *context)
{
    return tell_identity(call, staged->lock, "tree", each, context);
}

/* The place and what the layer started from must be what they were; then one rename. */
static int32_t move(lamina_staged *staged, call_t call, struct lamina_str id, unsigned flags)
{
    char target[PATH_MAX];
    int32_t code = path_of(call, target, staged->home, "layers/", id);
    if (!code)
        code = still_there(call, staged->lock, staged->place);
    if (!code && staged->origin >= 0)
        code = still_there(call, staged->origin, staged->origin_path);
    if (code)
        return code;
    if (!renameat2(staged->lock, "tree", AT_FDCWD, target, flags))
        return 0;
    if (errno == EEXIST || errno == ENOTEMPTY)
        return fail(call, LAMINA_E_DUPLICATE_ID, "commit layer", target, "", errno);
    return failed(call, "renameat2", target);
}

static int32_t commit(lamina_staged *staged, call_t call, struct lamina_str id) { return move(staged, call, id, RENAME_NOREPLACE); }

/* After the exchange the former content lies in the place, so the place goes on as the trash. */
static int32_t replace(lamina_staged *staged, call_t call, struct lamina_str id, lamina_trash **former)
{
    lamina_trash *trash = malloc(sizeof *trash);
    int32_t code = trash ? move(staged, call, id, RENAME_EXCHANGE) : fail(call, LAMINA_E_IO, "replace layer", "", "no memory", ENOMEM);
    if (code) {
        free(trash);
        return code;
    }
    strcpy(trash->place, staged->place);
    trash->lock = staged->lock;
    staged->lock = -1;
    staged->kept = true;
    *former = trash;
    return 0;
}

static int32_t remove_layer(lamina_driver *driver, call_t call, const struct lamina_place *place, lamina_trash **out)
{
    char path[PATH_MAX];
    lamina_trash *trash = malloc(sizeof *trash);
    int32_t code = trash ? layer_path(call, path, driver->home, *place) : fail(call, LAMINA_E_IO, "remove layer", "", "no memory", ENOMEM);
    if (!code)
        code = make_place(call, driver->home, trash->place, &trash->lock);
    if (code) {
        free(trash);
        return code;
    }
    if (!renameat(AT_FDCWD, path, trash->lock, "tree")) {
        *out = trash;
        return 0;
    }
    code = errno == ENOENT ? 0 : failed(call, "rename", path); /* a layer without a place is no error */
    rmdir(trash->place);
    close(trash->lock);
    free(trash);
    *out = NULL;
    return code;
}

static int32_t trash_reclaim(lamina_trash *trash, call_t call)
{
    int32_t code = reclaim(call, trash->place, trash->lock);
    free(trash);
    return code;
}

static void trash_leave(lamina_trash *trash)
{
    close(trash->lock);
    free(trash);
}

/* ---- mounting -------------------------------------------------------------------------------------------------------- */

static int32_t mount_layer(lamina_driver *driver, call_t call, const struct lamina_layer *layer,
                           const struct lamina_mount_options *options, lamina_each_text each, void *context)
{
    /* Options of any mount are tolerated. */
    static const char any[] = ",ro,rw,nodev,dev,nosuid,suid,noexec,exec,noatime,atime,nodiratime,diratime,relatime,norelatime,"
                              "strictatime,defaults,";
    int32_t there = 0;
    bool known = true;
    for (size_t i = 0; i < options->option_count && known; i++) {
        char option[32];
        int length = snprintf(option, sizeof option, ",%.*s,", (int)options->options[i].length, options->options[i].data);
        known = length > 2 && length < (int)sizeof option && strstr(any, option);
    }
    if (!known || options->user_namespace.descriptor >= 0)
        return fail(call, LAMINA_E_NOT_SUPPORTED, "mount layer", "", "a directory that is shown as it is has no options", 0);
    int32_t code = exists(driver, call, &layer->place, &there);
    if (code || there)
        return code ? code : mount_point(driver, call, &layer->place, each, context);
    return fail(call, LAMINA_E_NOT_FOUND, "mount layer", driver->home, "the layer has no place", 0);
}

static int32_t unmount_layer(lamina_driver *driver, call_t call, const struct lamina_place *place, int32_t extent,
                             lamina_each_descriptor each, void *context)
{
    (void)driver, (void)call, (void)place, (void)extent, (void)each, (void)context;
    return 0; /* nothing was attached */
}

static const struct lamina_driver_table TABLE = {
    .abi = LAMINA_DRIVER_ABI, .size = sizeof TABLE, .priority = -10, .automatic = 0,
    .name = { "dircopy", 7 }, .version = { "1.0", 3 },
    .survey = survey, .open = driver_open, .close = driver_close, .capabilities = capabilities, .has_kernel_mounts = no,
    .mount_point = mount_point, .name_directories = name_directories, .sweep = sweep,
    .exists = exists, .list = list, .identity = identity, .view = view, .is_untouched = is_untouched,
    .is_mounted = is_mounted, .begin = begin, .view_check = view_check, .view_close = view_close,
    .staged_fill = fill, .staged_root = staged_root, .staged_identity = staged_identity, .staged_discard = discard,
    .staged_commit = commit, .staged_replace = replace, .remove = remove_layer,
    .trash_reclaim = trash_reclaim, .trash_leave = trash_leave, .mount = mount_layer, .unmount = unmount_layer,
};

__attribute__((visibility("default"))) const struct lamina_driver_table *lamina_driver_v1(void) { return &TABLE; }
