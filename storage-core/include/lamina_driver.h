/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * The C interface of a Lamina graph driver, version 1.
 *
 * A driver is a shared object that exports one function:
 *
 *     const struct lamina_driver_table *lamina_driver_v1(void);
 *
 * The table it returns is constant and stays. docs/adding-a-driver.md walks through an example; a test holds this file
 * against the Rust side, so the two say the same.
 *
 * RULES FOR EVERY FUNCTION
 *
 *  Answers     Zero is success; anything else is a LAMINA_E_... below, told in words through `fail` before. On failure the
 *              results that are handed out through pointers are not looked at.
 *  Strings     Are not terminated: an address and a length. Those of arguments belong to the caller, those that are given to
 *              a callback to the function that calls it; either is good until that call returns. Texts are UTF-8; paths are
 *              any bytes but zero, and those that a driver gives begin at the root. Identifiers of layers are one name of a
 *              file.
 *  Limits      A text or path has at most 1 MiB, a list that is handed in at most 1 Mi items, one piece of an archive at
 *              most 1 GiB, the table at most 64 KiB. Sizes of structures are multiples of sizeof(size_t).
 *  Descriptors One that is handed in is borrowed for the call. One that is handed out belongs to the receiver from then on:
 *              also when the callback it was given to returned non-zero. None is handed out twice.
 *  Handles     lamina_view, lamina_staged, lamina_trash and lamina_comparison are the driver's; the host only holds their
 *              addresses. Each is ended exactly once, by the function that is named for it. `close` of the driver comes after
 *              the end of all its handles.
 *  Memory      Nobody frees what the other side allocated.
 *  Threads     Functions of one driver may be called by several threads at once, and so may view_check of one view. All
 *              other functions of one handle are called by one thread at a time, not always the same. A driver may start
 *              threads; they never call back, except `step`.
 *  Callbacks   Are called in the thread and during the call that they were given to (`step`: in any thread, during the call).
 *              When one returns non-zero, the function stops, tidies up and returns that number; it needn't call `fail`.
 *              One that comes from another thread is not heard, and the call counts as failed.
 *  Locks       The sections of the table say which locks of the store the caller holds. A driver takes none of them, and
 *              starts nothing that would. Where "held" is written, a call costs a few system calls: it does no work that
 *              grows with a layer, and waits for nothing.
 *  Time        A host may report by name a call that neither returns nor calls back for a while (`lamina` does, after a
 *              minute). It is not ended: nothing can.
 *  Unwinding   Nothing may be thrown out of a function. A C++ exception or a Rust panic that leaves one ends the process.
 *  Process     A driver doesn't change the process: no fork without exec, no chdir, umask, signal handler or environment, no
 *              namespace of a thread that it didn't start. It writes nothing to the standard streams.
 *
 * GROWTH
 *
 *  The head of the table never changes. Later editions of version 1 only add: functions at the end of the table, which are
 *  optional, and fields at the end of those structures that begin with their size. Whoever reads a structure looks at the
 *  fields within the size that it tells, and takes those beyond it for zero; whoever writes one sets `size` to its own
 *  sizeof. So an older driver works with a newer host, and the other way round. Structures without a size never change.
 *  Anything else is version 2, with another exported name.
 */
#ifndef LAMINA_DRIVER_H
#define LAMINA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LAMINA_DRIVER_ABI 1u

/* ---- kinds of errors ------------------------------------------------------------------------------------------------ */

/* The kinds that a driver has use for. The full list is in src/error.rs; numbers never change. */
#define LAMINA_E_USAGE 2             /* an argument or an option can't be used as it was given */
#define LAMINA_E_DUPLICATE_ID 5      /* the layer has a place already */
#define LAMINA_E_READ_ONLY_STORE 11  /* it stands in an additional store */
#define LAMINA_E_NOT_SUPPORTED 12    /* the driver or the kernel can't do it */
#define LAMINA_E_ESCAPE 16           /* a path leads out of its place */
#define LAMINA_E_CORRUPT 17          /* a file can't be understood */
#define LAMINA_E_CANCELLED 19        /* the caller asked to stop */
#define LAMINA_E_CHANGED 20          /* it was removed or replaced meanwhile */
#define LAMINA_E_NO_SPACE 21         /* the disk is full, or a quota is reached */
#define LAMINA_E_PERMISSION 22       /* the system refused */
#define LAMINA_E_NOT_FOUND 23        /* a layer has no place, a file is missing */
#define LAMINA_E_IO 24               /* anything else that the system says */
#define LAMINA_E_DRIVER_UNUSABLE 25  /* the driver can't work there */
#define LAMINA_E_BUSY 28             /* a mount is in use */
#define LAMINA_E_INVALID_MAPPINGS 37 /* an id is outside of the maps */
#define LAMINA_E_BAD_PLUGIN 39       /* a defect of the driver itself */

/* ---- what the driver can do: bits of `capabilities` ------------------------------------------------------------------- */

#define LAMINA_CAN_KERNEL_MOUNTS 0x1u      /* a mount of a layer is one of the kernel's */
#define LAMINA_CAN_PROPORTIONAL_DIFF 0x2u  /* a diff costs what changed, not what the layer holds */
#define LAMINA_CAN_DETACHED_VIEWS 0x4u     /* a view is a mount that no path names */
#define LAMINA_CAN_D_TYPE 0x8u             /* the filesystem tells the type of directory entries */
#define LAMINA_CAN_REFLINK 0x10u           /* copies share blocks */
#define LAMINA_CAN_METACOPY 0x20u          /* the kernel may copy up metadata without data */
#define LAMINA_CAN_VOLATILE 0x40u          /* mounts can be told not to flush */
#define LAMINA_CAN_ID_MAPPED_MOUNTS 0x80u  /* layers can be mounted with other owners than they are stored with */
#define LAMINA_CAN_QUOTA 0x100u            /* the size of a writable layer can be limited */

/* ---- values ----------------------------------------------------------------------------------------------------------- */

struct lamina_str { const char *data; size_t length; };

/* Which home a layer stands in: the store's own, that of a separate image store, or LAMINA_ADDITIONAL plus the number of an
 * additional store in `additional_homes`. In those of additional stores nothing is written or locked, and whatever is read
 * there is checked: their owner may be anybody. */
typedef uint32_t lamina_home;
#define LAMINA_OWN 0u
#define LAMINA_IMAGE_STORE 1u
#define LAMINA_ADDITIONAL 0x10000u

/* One layer, as the records say where it stands. A driver doesn't search other homes. */
struct lamina_place { struct lamina_str id; lamina_home home; };

/* A layer and those below it, the nearest first. */
struct lamina_layer {
    size_t size;
    struct lamina_place place;
    const struct lamina_place *ancestors; size_t ancestor_count;
};

struct lamina_pair { struct lamina_str key; struct lamina_str value; };

/* What went wrong. Strings without length are unknown. It is shown as "OPERATION PATH: DETAIL; REMEDY: CAUSE". */
struct lamina_error {
    size_t size;
    struct lamina_str operation;  /* what failed: "mkdir", "commit layer"; else the name of the function is shown */
    struct lamina_str path;
    struct lamina_str detail;     /* what was found */
    struct lamina_str remedy;     /* what the reader can do */
    struct lamina_str cause;      /* what caused it, unless errno says all */
    int32_t number;               /* errno, or 0 */
    int32_t reserved;             /* 0 */
};

/* Comes with every call that can fail. */
struct lamina_call {
    size_t size;
    void *context;
    /* Tells what went wrong, before the function returns the number. The last one counts. */
    void (*fail)(void *context, const struct lamina_error *error);
    /* Reports work done: bytes and files. Non-zero: stop. Called every few files or megabytes where work takes time. */
    int32_t (*step)(void *context, uint64_t bytes, uint64_t entries);
};

/* Callbacks: each is given with a context, which comes first. */
typedef int32_t (*lamina_each_text)(void *context, struct lamina_str item);  /* texts, paths, or bytes of an archive */
typedef int32_t (*lamina_each_pair)(void *context, struct lamina_str key, struct lamina_str value);
/* kind: 0 modified, 1 added, 2 deleted. The path begins at the root of the tree, with a slash. */
typedef int32_t (*lamina_each_change)(void *context, struct lamina_str path, int32_t kind);
/* cure: 0 heal makes it again, 1 it is lost */
typedef int32_t (*lamina_each_flaw)(void *context, struct lamina_str path, struct lamina_str detail, int32_t cure);
typedef int32_t (*lamina_each_descriptor)(void *context, int32_t descriptor);
typedef int32_t (*lamina_ask)(void *context);

typedef struct lamina_driver lamina_driver;
typedef struct lamina_staged lamina_staged;
typedef struct lamina_trash lamina_trash;
typedef struct lamina_view lamina_view;
typedef struct lamina_comparison lamina_comparison;

/* One range of an id map, and the maps of users and groups. No ranges: every id is itself. */
struct lamina_range { uint64_t container_id; uint64_t host_id; uint64_t size; };
struct lamina_maps {
    const struct lamina_range *uids; size_t uid_count;
    const struct lamina_range *gids; size_t gid_count;
};
/* A user namespace and its maps; none where the descriptor is -1. */
struct lamina_namespace { int32_t descriptor; struct lamina_maps maps; };

/* The maps with which the owners in two layers that are compared are kept. Owners are compared and told as they are inside. */
struct lamina_owners {
    size_t size;
    struct lamina_maps layer;
    struct lamina_maps base;
    struct lamina_namespace below_layer;  /* what shows the layers below under the layer's maps, where they are kept without */
    struct lamina_namespace below_base;
};

/* Where and how a driver is to work. None of the directories may exist yet. */
struct lamina_request {
    size_t size;
    struct lamina_str home;                 /* GRAPHROOT/<name> */
    struct lamina_str run_home;             /* RUNROOT/<name>: gone after a reboot */
    struct lamina_str image_home;           /* no length: there is no separate image store */
    const struct lamina_str *additional_homes; size_t additional_count;
    const struct lamina_pair *options; size_t option_count;  /* without the driver's prefix; an unknown key is LAMINA_E_USAGE */
};

/* What a new layer is to be. At most one of `parent` and `replacing` is there. */
struct lamina_plan {
    size_t size;
    const struct lamina_layer *parent;      /* NULL: an empty layer, unless one is replaced */
    const struct lamina_layer *replacing;   /* begins with this layer's content, and takes its place by staged_replace */
    int32_t replacing_empty;                /* 1: that layer holds nothing of its own, so nothing is to be copied */
    lamina_home home;                       /* where the layer will stand: staged there */
    struct lamina_maps maps;                /* with which the owners of its files are kept */
    struct lamina_maps parent_maps;         /* with which its parent's are; staged_fill changes owners where they differ */
    int32_t writable;                       /* 1: it will be mounted for writing (quotas apply to those only) */
    const struct lamina_pair *options; size_t option_count;  /* of the layer ("size"); an unknown key is LAMINA_E_USAGE */
    struct lamina_str mount_label;          /* the SELinux label of its mounts */
};

struct lamina_mount_options {
    size_t size;
    const struct lamina_str *options; size_t option_count;  /* of the mount ("nodev"); none: the configured ones serve */
    int32_t read_only;
    int32_t is_volatile;                    /* what is written may be lost when the machine stops */
    struct lamina_str label;
    struct lamina_namespace user_namespace; /* show owners through its maps, with LAMINA_CAN_ID_MAPPED_MOUNTS */
};

/* ---- the table -------------------------------------------------------------------------------------------------------- */

struct lamina_driver_table {
    uint32_t abi;               /* LAMINA_DRIVER_ABI */
    int32_t priority;           /* among drivers that could be chosen, the highest first (overlay 100, btrfs 80, vfs 0) */
    size_t size;                /* sizeof(struct lamina_driver_table) */
    struct lamina_str name;     /* a-z, 0-9 and '-'; also the name of its home in the graph root */
    struct lamina_str version;
    int32_t automatic;          /* 1: may be chosen without being named */
    int32_t reserved;           /* 0 */

    /* ==== required ==== */

    /* -- no lock ------------------------------------------------------------------------------------------------------- */

    /* Whether the driver can work there, what it can do, and one sentence why or why not, through `reason`. Leaves nothing
     * behind. "Can't" is an answer (usable 0), not an error. */
    int32_t (*survey)(const struct lamina_call *, const struct lamina_request *, int32_t *usable, uint64_t *capabilities,
                      lamina_each_text reason, void *context);
    /* Opens the driver, making its homes (never those of additional stores) when they are missing. */
    int32_t (*open)(const struct lamina_call *, const struct lamina_request *, lamina_driver **driver);
    /* Ends the driver. All its handles are ended already. */
    void (*close)(lamina_driver *);
    /* What it can do on this kernel and filesystem. May try things out. Asked once. */
    int32_t (*capabilities)(lamina_driver *, const struct lamina_call *, uint64_t *capabilities);
    /* 1: a mount of a layer is one of the kernel's; 0: `mount` only names a directory. Asked once. */
    int32_t (*has_kernel_mounts)(lamina_driver *, const struct lamina_call *, int32_t *yes);
    /* Where `mount` shows the layer: one path, also while it isn't mounted. May be called with a lock. */
    int32_t (*mount_point)(lamina_driver *, const struct lamina_call *, const struct lamina_place *, lamina_each_text path,
                           void *context);
    /* The directories of a home whose entries name layers. After a commit the host flushes them. May be called with a lock. */
    int32_t (*name_directories)(lamina_driver *, const struct lamina_call *, lamina_home, lamina_each_text path, void *context);
    /* Reclaims staging and trash that processes left when they died, for so many milliseconds; nothing that is in use. Tells
     * how many places were reclaimed and how many were left. Takes time. */
    int32_t (*sweep)(lamina_driver *, const struct lamina_call *, uint64_t milliseconds, uint64_t *reclaimed, uint64_t *left);

    /* -- layers held shared: changes nothing that others see, and attaches no mount to any path (rule R1) --------------- */

    /* Whether the layer has a place. */
    int32_t (*exists)(lamina_driver *, const struct lamina_call *, const struct lamina_place *, int32_t *yes);
    /* The names of all places of layers in a home, also of those that no record knows. A home that is missing has none. Names
     * are told as they are found: here they needn't be UTF-8. */
    int32_t (*list)(lamina_driver *, const struct lamina_call *, lamina_home, lamina_each_text name, void *context);
    /* One text that tells the layer's content from every other, across renames and crashes: "device-inode", a uuid. Never
     * empty. */
    int32_t (*identity)(lamina_driver *, const struct lamina_call *, const struct lamina_place *, lamina_each_text,
                        void *context);
    /* A read-only sight of the layer's whole tree: a directory, readable, below which nothing can be written, and a handle
     * for view_check (NULL: nothing to check). It stays good without any lock. LAMINA_E_NOT_FOUND when a layer of the chain
     * has no place. Ended by view_close; the descriptor by the receiver. */
    int32_t (*view)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *, lamina_view **view,
                    int32_t *root);
    /* Whether the layer holds nothing of its own. 0 where that can't be told at constant cost. */
    int32_t (*is_untouched)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *, int32_t *yes);
    /* Whether the kernel has a mount at the mount point, in this mount namespace. 0 without kernel mounts. */
    int32_t (*is_mounted)(lamina_driver *, const struct lamina_call *, const struct lamina_place *, int32_t *yes);
    /* Begins a layer in a private place, and remembers which directory its parent is. Ended by staged_discard. */
    int32_t (*begin)(lamina_driver *, const struct lamina_call *, const struct lamina_plan *, lamina_staged **staged);

    /* -- no lock: handles ---------------------------------------------------------------------------------------------- */

    /* LAMINA_E_CHANGED when a layer below the view was removed or replaced since it was made. May be called with a lock. */
    int32_t (*view_check)(lamina_view *, const struct lamina_call *);
    /* Ends the handle. */
    void (*view_close)(lamina_view *);
    /* Puts in place what the layer begins with: a copy of the parent, or nothing where layers stack. Once, before the root
     * is asked for. Takes time: calls `step`. */
    int32_t (*staged_fill)(lamina_staged *, const struct lamina_call *);
    /* The directory into which the host extracts, readable. Asked any number of times. */
    int32_t (*staged_root)(lamina_staged *, const struct lamina_call *, int32_t *root);
    /* What `identity` will say of the layer once this has taken its place. */
    int32_t (*staged_identity)(lamina_staged *, const struct lamina_call *, lamina_each_text, void *context);
    /* Ends the handle. What was neither committed nor given in exchange goes away. Takes time. */
    void (*staged_discard)(lamina_staged *);
    /* Deletes the content, and ends the handle in any case. Safe against others who reclaim the same. Takes time: calls
     * `step`. */
    int32_t (*trash_reclaim)(lamina_trash *, const struct lamina_call *);
    /* Ends the handle, and leaves the content for `sweep`. */
    void (*trash_leave)(lamina_trash *);

    /* -- layers held exclusively --------------------------------------------------------------------------------------- */

    /* Makes the staged content the layer `id`, by a rename. The handle is ended later, without the lock. On failure nothing
     * of the layer was made: LAMINA_E_CHANGED when the staging place or the parent is no longer the one that it began with,
     * LAMINA_E_DUPLICATE_ID when `id` has a place. */
    int32_t (*staged_commit)(lamina_staged *, const struct lamina_call *, struct lamina_str id);
    /* Exchanges the staged content with that of the layer `id`, atomically; the former content is the trash. */
    int32_t (*staged_replace)(lamina_staged *, const struct lamina_call *, struct lamina_str id, lamina_trash **former);
    /* Takes the layer's place away, by a rename into trash; needs no new space. NULL when it had none: no error.
     * LAMINA_E_READ_ONLY_STORE in an additional store. */
    int32_t (*remove)(lamina_driver *, const struct lamina_call *, const struct lamina_place *, lamina_trash **trash);

    /* -- layers and mount counts held exclusively ---------------------------------------------------------------------- */

    /* Attaches the layer and tells where, once. Nothing is mounted there. A layer of another than the own home is mounted
     * read-only. An option that can't be honoured is LAMINA_E_NOT_SUPPORTED. */
    int32_t (*mount)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *,
                     const struct lamina_mount_options *, lamina_each_text path, void *context);
    /* Detaches mounts from the mount point, in this mount namespace: extent 0 the topmost, 1 all, 2 all, but LAMINA_E_BUSY for
     * one that is in use. Nothing mounted is no error. A descriptor of each mount that was detached is handed out: closing
     * it may wait for a flush, which the host does after the locks are released. */
    int32_t (*unmount)(lamina_driver *, const struct lamina_call *, const struct lamina_place *, int32_t extent,
                       lamina_each_descriptor, void *context);

    /* ==== optional: NULL, or beyond the size of the table, means what stands in brackets ==== */

    /* -- no lock ------------------------------------------------------------------------------------------------------- */

    /* Pairs for `lamina status`. [none] */
    int32_t (*status)(lamina_driver *, const struct lamina_call *, lamina_each_pair, void *context);
    /* 1: a layer may learn its parent late, by staged_settle. Asked once. [0] */
    int32_t (*parents_may_come_late)(lamina_driver *, const struct lamina_call *, int32_t *yes);
    /* How whiteouts stand in own_files: 0 applied, 1 as overlayfs keeps them, 2 the same with user xattrs. Asked once. [0] */
    int32_t (*whiteouts)(lamina_driver *, const struct lamina_call *, int32_t *how);
    /* The directory of the layer's own files on the filesystem itself: one path, or none. May be called with a lock. [none] */
    int32_t (*own_directory)(lamina_driver *, const struct lamina_call *, const struct lamina_place *, lamina_each_text path,
                             void *context);
    /* The directories of staging and trash in the form of the reference: `temp-dir-X` beside `lock-X`. [none] */
    int32_t (*staging_homes)(lamina_driver *, const struct lamina_call *, lamina_each_text path, void *context);

    /* -- layers held shared -------------------------------------------------------------------------------------------- */

    /* Pairs that tell where the layer's parts are ("UpperDir"). [none] */
    int32_t (*metadata)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *, lamina_each_pair,
                        void *context);
    /* A view of the files of the layer's own diff, where that is cheaper than the whole tree. [view] */
    int32_t (*own_files)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *, lamina_view **view,
                         int32_t *root);
    /* One text that changes whenever the layer is mounted for writing, or none. [none] */
    int32_t (*write_mark)(lamina_driver *, const struct lamina_call *, const struct lamina_place *, lamina_each_text,
                          void *context);
    /* What is wrong with parts of the layer that only the driver knows. [nothing] */
    int32_t (*examine)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *, lamina_each_flaw,
                       void *context);
    /* Small things in the home that belong to layers without a place. [none] */
    int32_t (*strays)(lamina_driver *, const struct lamina_call *, lamina_each_text path, void *context);
    /* What the layer's own files say of its parent: one identifier, or none. [none] */
    int32_t (*recall_parent)(lamina_driver *, const struct lamina_call *, const struct lamina_place *, lamina_each_text,
                             void *context);
    /* Puts what was begun without a parent, and is filled, on `parent`. root: where the root has its owner and mode from, 0
     * the archive, 1 the parent's. [refused] */
    int32_t (*staged_settle)(lamina_staged *, const struct lamina_call *, const struct lamina_layer *parent, int32_t root);
    /* How the whiteouts of an archive are to be applied in the root: numbers as with `whiteouts`. Asked once, after
     * `begin`. [0] */
    int32_t (*staged_whiteouts)(lamina_staged *, const struct lamina_call *, int32_t *how);
    /* What becomes of an owner that the system refuses: 0 an error, 1 the file keeps the one it has. Asked once,
     * after `begin`. [0] */
    int32_t (*staged_refusals)(lamina_staged *, const struct lamina_call *, int32_t *what);
    /* What is needed to tell how `layer` differs from `base` (NULL: from nothing) without a lock. Ended by comparison_close. With
     * this function all those of comparisons are required. [the host compares two views] */
    int32_t (*compare)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *layer,
                       const struct lamina_layer *base, const struct lamina_owners *, lamina_comparison **);

    /* -- no lock: handles ---------------------------------------------------------------------------------------------- */

    /* Every change, in the order of paths. A directory that contains a change is one. Takes time: calls `step`. */
    int32_t (*comparison_changes)(lamina_comparison *, const struct lamina_call *, lamina_each_change, void *context);
    /* The changes as a tar archive, given to `write`. `before_end` is asked before the end of the archive is written: when it
     * says non-zero, the archive gets no end. Takes time: calls `step`. */
    int32_t (*comparison_pack)(lamina_comparison *, const struct lamina_call *, lamina_each_text write, void *write_context,
                               lamina_ask before_end, void *end_context);
    /* The bytes of all files that were added or modified, each inode counted once. Takes time: calls `step`. */
    int32_t (*comparison_size)(lamina_comparison *, const struct lamina_call *, uint64_t *bytes);
    /* LAMINA_E_CHANGED when a layer of either tree was removed or replaced meanwhile. May be called with a lock. */
    int32_t (*comparison_check)(lamina_comparison *, const struct lamina_call *);
    /* Ends the handle. */
    void (*comparison_close)(lamina_comparison *);

    /* -- layers held exclusively --------------------------------------------------------------------------------------- */

    /* Restores what can be derived and was lost. What stands in an additional store is left as it is. [nothing] */
    int32_t (*heal)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *);
    /* Removes what `strays` finds, and tells how many there were. [0] */
    int32_t (*remove_strays)(lamina_driver *, const struct lamina_call *, uint64_t *count);

    /* -- layers and mount counts held exclusively ---------------------------------------------------------------------- */

    /* Takes away what the driver keeps mounted beside layers; none of these is mounted. As `unmount`. [nothing] */
    int32_t (*retire)(lamina_driver *, const struct lamina_call *, lamina_each_descriptor, void *context);
};

/* What a driver exports. */
const struct lamina_driver_table *lamina_driver_v1(void);

#ifdef __cplusplus
}
#endif

#endif
