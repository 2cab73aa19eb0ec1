/* SPDX-License-Identifier: Apache-2.0 OR MIT
 *
 * Draft of the C interface of a Lamina graph driver. It is written beside the Rust trait (src/driver/traits.rs), so that
 * the trait stays expressible in it. Nothing loads it yet; names and order may change until something does.
 *
 * Rules for every function
 *  - Strings are not terminated: pointer and length. They belong to the caller and live as long as the call.
 *  - A descriptor that is handed out belongs to the receiver; one that is handed in is borrowed.
 *  - A driver takes no store lock. The comment above a function names the lock that its caller holds.
 *  - Functions of one driver may be called from several threads at once; those of one handle may not.
 *  - Zero is success; else the number of an error kind (src/error.rs), with a text through `fail`.
 */
#ifndef LAMINA_DRIVER_H
#define LAMINA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#define LAMINA_DRIVER_ABI 0u

struct lamina_str { const char *data; size_t length; };
/* Where a layer stands: LAMINA_OWN, LAMINA_IMAGE_STORE, or LAMINA_ADDITIONAL plus the number of an additional store. In
 * the homes of additional stores nothing is written or locked, and what is read from them is checked. */
typedef uint32_t lamina_home;
#define LAMINA_OWN 0u
#define LAMINA_IMAGE_STORE 1u
#define LAMINA_ADDITIONAL 0x10000u

struct lamina_place { struct lamina_str id; lamina_home home; };
struct lamina_layer { struct lamina_place place; const struct lamina_place *ancestors; size_t ancestor_count; };
struct lamina_pair { struct lamina_str key; struct lamina_str value; };

/* Given with every call: how to say what went wrong, how to report work done (non-zero: stop). */
struct lamina_call {
    void *context;
    void (*fail)(void *context, struct lamina_str text);
    int32_t (*step)(void *context, uint64_t bytes, uint64_t entries);
};

typedef int32_t (*lamina_each_str)(void *context, struct lamina_str item);
typedef int32_t (*lamina_each_pair)(void *context, struct lamina_pair item);
/* kind: 0 modified, 1 added, 2 deleted */
typedef int32_t (*lamina_each_change)(void *context, struct lamina_str path, int32_t kind);
typedef int32_t (*lamina_bytes)(void *context, const uint8_t *data, size_t length);
typedef int32_t (*lamina_ask)(void *context);

typedef struct lamina_driver lamina_driver;
typedef struct lamina_staged lamina_staged;
typedef struct lamina_trash lamina_trash;
typedef struct lamina_view lamina_view;
typedef struct lamina_comparison lamina_comparison;
typedef struct lamina_detached lamina_detached;

struct lamina_request {
    size_t size;
    struct lamina_str home;
    struct lamina_str run_home;
    struct lamina_str image_home;           /* no data: there is no separate image store */
    const struct lamina_str *additional_homes; size_t additional_count;
    const struct lamina_pair *options; size_t option_count;
};

struct lamina_plan {
    size_t size;
    const struct lamina_layer *parent;      /* NULL: an empty layer */
    const struct lamina_layer *replacing;   /* NULL: a new layer */
    int32_t replacing_empty;
    lamina_home home;                       /* where the layer will stand: staged there */
    int32_t writable;
    const struct lamina_pair *options; size_t option_count;
    struct lamina_str mount_label;
};

struct lamina_mount_options {
    size_t size;
    const struct lamina_str *options; size_t option_count;
    int32_t read_only;
    int32_t is_volatile;
    struct lamina_str label;
};

struct lamina_driver_table {
    uint32_t abi;      /* LAMINA_DRIVER_ABI */
    size_t size;       /* of this table: fields beyond it are absent */
    struct lamina_str name;
    struct lamina_str version;
    int32_t priority;
    int32_t automatic;

    /* no lock */
    int32_t (*survey)(const struct lamina_call *, const struct lamina_request *, int32_t *usable, uint64_t *capabilities,
                      lamina_bytes reason, void *context);
    int32_t (*open)(const struct lamina_call *, const struct lamina_request *, lamina_driver **driver);
    void (*close)(lamina_driver *);
    uint64_t (*capabilities)(lamina_driver *);
    int32_t (*has_kernel_mounts)(lamina_driver *);
    int32_t (*status)(lamina_driver *, lamina_each_pair, void *context);
    int32_t (*mount_point)(lamina_driver *, struct lamina_place, lamina_bytes, void *context);
    int32_t (*name_directories)(lamina_driver *, lamina_home, lamina_each_str, void *context);
    int32_t (*sweep)(lamina_driver *, const struct lamina_call *, uint64_t milliseconds, uint64_t *reclaimed, uint64_t *left);

    /* layers held shared */
    int32_t (*exists)(lamina_driver *, const struct lamina_call *, struct lamina_place, int32_t *exists);
    int32_t (*list)(lamina_driver *, const struct lamina_call *, lamina_home, lamina_each_str, void *context);
    int32_t (*metadata)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *, lamina_each_pair, void *context);
    int32_t (*identity)(lamina_driver *, const struct lamina_call *, struct lamina_place, lamina_bytes, void *context);
    int32_t (*view)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *, lamina_view **);
    int32_t (*own_files)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *, lamina_view **);
    int32_t (*compare)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *, const struct lamina_layer *base,
                       lamina_comparison **);
    int32_t (*is_untouched)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *, int32_t *untouched);
    int32_t (*write_mark)(lamina_driver *, const struct lamina_call *, struct lamina_place, int32_t *known, lamina_bytes, void *context);
    int32_t (*is_mounted)(lamina_driver *, const struct lamina_call *, struct lamina_place, int32_t *mounted);
    int32_t (*begin)(lamina_driver *, const struct lamina_call *, const struct lamina_plan *, lamina_staged **);

    /* no lock: handles */
    int (*view_root)(lamina_view *);                                    /* a borrowed directory descriptor */
    int32_t (*view_check)(lamina_view *, const struct lamina_call *);
    void (*view_close)(lamina_view *);
    int32_t (*comparison_changes)(lamina_comparison *, const struct lamina_call *, lamina_each_change, void *context);
    int32_t (*comparison_pack)(lamina_comparison *, const struct lamina_call *, lamina_bytes out, lamina_ask before_end, void *context);
    int32_t (*comparison_size)(lamina_comparison *, const struct lamina_call *, uint64_t *size);
    int32_t (*comparison_check)(lamina_comparison *, const struct lamina_call *);
    void (*comparison_close)(lamina_comparison *);
    int32_t (*staged_fill)(lamina_staged *, const struct lamina_call *);
    int32_t (*staged_root)(lamina_staged *, const struct lamina_call *, int *descriptor);
    int32_t (*staged_whiteouts)(lamina_staged *);                       /* 0 apply, 1 overlay, 2 overlay with user.* xattrs */
    int32_t (*staged_identity)(lamina_staged *, const struct lamina_call *, lamina_bytes, void *context);
    void (*staged_discard)(lamina_staged *);
    int32_t (*trash_reclaim)(lamina_trash *, const struct lamina_call *);   /* ends the handle */
    void (*trash_leave)(lamina_trash *);
    void (*detached_close)(lamina_detached *);                          /* may wait for a flush: no lock is held */

    /* layers held exclusively; the staged handle is discarded later, without the lock */
    int32_t (*staged_commit)(lamina_staged *, const struct lamina_call *, struct lamina_str id);
    int32_t (*staged_replace)(lamina_staged *, const struct lamina_call *, struct lamina_str id, lamina_trash **former);
    int32_t (*remove)(lamina_driver *, const struct lamina_call *, struct lamina_place, lamina_trash **);
    int32_t (*heal)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *);

    /* layers and mount counts held exclusively; extent: 0 one, 1 all */
    int32_t (*mount)(lamina_driver *, const struct lamina_call *, const struct lamina_layer *, const struct lamina_mount_options *,
                     lamina_bytes path, void *context);
    int32_t (*unmount)(lamina_driver *, const struct lamina_call *, struct lamina_place, int32_t extent, lamina_detached **);
    int32_t (*retire)(lamina_driver *, const struct lamina_call *, lamina_detached **);
};

#endif
