/* Plugins that are broken on purpose: the example in C, with one fault. -DFAULT=NAME says which. */
#define lamina_driver_v1 example
#include "dircopy.c"
#undef lamina_driver_v1
#include <sys/mount.h>

#define NONE 0
#define WRONG_VERSION 1
#define TRUNCATED 2
#define SIZE_OF_NOTHING 3
#define ABSURD_SIZE 4
#define MISSING_FUNCTION 5
#define HALF_A_COMPARISON 6
#define TAKEN_NAME 7
#define BAD_NAME 8
#define NO_TABLE 9
#define OTHER_SYMBOL 10
#define GARBLED_NAME 11
#define HALF_A_FUNCTION 12
#define UNKNOWN_KIND 20
#define GARBLED_ERROR 21
#define ERROR_OF_NO_SIZE 22
#define STRING_FROM_NOWHERE 23
#define ABSURD_LENGTH 24
#define NO_DIRECTORY 25
#define NO_DESCRIPTOR 26
#define CLOSED_DESCRIPTOR 27
#define STANDARD_INPUT 28
#define NO_HANDLE 29
#define NEITHER_YES_NOR_NO 30
#define RELATIVE_PATH 31
#define TWO_PATHS 32
#define STAGED_NO_DIRECTORY 33
#define PATH_ONLY 34
#define NO_MOUNT_POINT 35
#define NO_NAME_DIRECTORIES 36
#define NO_CAPABILITIES 37
#define NO_END 40
#define ATTACHES 41
#define SMALLER 50

static int32_t say(call_t call, struct lamina_str detail, size_t size)
{
    struct lamina_error error = { .size = size, .operation = STR("view layer"), .detail = detail };
    call->fail(call->context, &error);
    return LAMINA_E_IO;
}

static int32_t bad_view(lamina_driver *driver, call_t call, const struct lamina_layer *layer, lamina_view **out, int32_t *root)
{
    int32_t code = view(driver, call, layer, out, root);
    if (code)
        return code;
    switch (FAULT) {
    case UNKNOWN_KIND:
        view_close(*out);
        return 250;
    case GARBLED_ERROR:
        view_close(*out);
        return say(call, (struct lamina_str){ "bad \xff\xfe words", 12 }, sizeof(struct lamina_error));
    case ERROR_OF_NO_SIZE:
        view_close(*out);
        return say(call, STR("never read"), 0);
    case STRING_FROM_NOWHERE:
        view_close(*out);
        return say(call, (struct lamina_str){ NULL, 7 }, sizeof(struct lamina_error));
    case ABSURD_LENGTH:
        view_close(*out);
        return say(call, (struct lamina_str){ "x", SIZE_MAX }, sizeof(struct lamina_error));
    case NO_DIRECTORY:
        close(*root);
        *root = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return 0;
    case PATH_ONLY:
        close(*root);
        *root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return 0;
    case NO_DESCRIPTOR:
        close(*root);
        *root = -1;
        return 0;
    case CLOSED_DESCRIPTOR:
        close(*root);
        *root = 1000000;
        return 0;
    case STANDARD_INPUT:
        close(*root);
        *root = 0;
        return 0;
    case NO_END:
        for (;;)
            pause();
    case ATTACHES:
        if (mount((*out)->path, (*out)->path, NULL, MS_BIND, NULL))
            return failed(call, "mount", (*out)->path);
        return 0;
    }
    return 0;
}

static int32_t bad_begin(lamina_driver *driver, call_t call, const struct lamina_plan *plan, lamina_staged **out)
{
    int32_t code = begin(driver, call, plan, out);
    if (!code) {
        discard(*out);
        *out = NULL;
    }
    return code;
}

static int32_t bad_root(lamina_staged *staged, call_t call, int32_t *root)
{
    (void)staged, (void)call;
    *root = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return 0;
}

static int32_t bad_exists(lamina_driver *driver, call_t call, const struct lamina_place *place, int32_t *yes)
{
    int32_t code = exists(driver, call, place, yes);
    *yes = 7;
    return code;
}

static int32_t bad_mount(lamina_driver *driver, call_t call, const struct lamina_layer *layer,
                         const struct lamina_mount_options *options, lamina_each_text each, void *context)
{
    if (FAULT == RELATIVE_PATH)
        return each(context, STR("../somewhere"));
    int32_t code = mount_layer(driver, call, layer, options, each, context);
    return code ? code : mount_layer(driver, call, layer, options, each, context);
}

static int32_t no_mount_point(lamina_driver *driver, call_t call, const struct lamina_place *place, lamina_each_text each, void *context)
{
    (void)driver, (void)place, (void)each, (void)context;
    return say(call, STR("no mount point today"), sizeof(struct lamina_error));
}

static int32_t no_names(lamina_driver *driver, call_t call, lamina_home home, lamina_each_text each, void *context)
{
    (void)driver, (void)home, (void)each, (void)context;
    return say(call, STR("no names today"), sizeof(struct lamina_error));
}

static int32_t no_capabilities(lamina_driver *driver, call_t call, uint64_t *bits)
{
    (void)driver, (void)bits;
    return say(call, STR("no capabilities today"), sizeof(struct lamina_error));
}

static void spoil(struct lamina_driver_table *table)
{
    switch (FAULT) {
    case WRONG_VERSION: table->abi = 2; break;
    case TRUNCATED: table->size = offsetof(struct lamina_driver_table, mount); break;
    case SIZE_OF_NOTHING: table->size = 0; break;
    case ABSURD_SIZE: table->size = SIZE_MAX; break;
    case HALF_A_FUNCTION: table->size -= sizeof(void *) / 2; break;
    case NO_MOUNT_POINT: table->mount_point = no_mount_point; break;
    case NO_NAME_DIRECTORIES: table->name_directories = no_names; break;
    case NO_CAPABILITIES: table->capabilities = no_capabilities; break;
    case MISSING_FUNCTION: table->staged_commit = NULL; break;
    case HALF_A_COMPARISON: table->compare = (void *)bad_begin; break;
    case TAKEN_NAME: table->name = STR("vfs"); break;
    case BAD_NAME: table->name = STR("../vfs"); break;
    case GARBLED_NAME: table->name = (struct lamina_str){ "\xff", 1 }; break;
    case NO_HANDLE: table->begin = bad_begin; break;
    case STAGED_NO_DIRECTORY: table->staged_root = bad_root; break;
    case NEITHER_YES_NOR_NO: table->exists = bad_exists; break;
    case RELATIVE_PATH:
    case TWO_PATHS: table->mount = bad_mount; break;
    /* Not broken: an older edition, whose table ends behind what is required. */
    case SMALLER: table->size = offsetof(struct lamina_driver_table, status); break;
    case NONE: break;
    default: table->view = bad_view;
    }
}

#if FAULT == OTHER_SYMBOL
#define EXPORTED lamina_driver_v2
#else
#define EXPORTED lamina_driver_v1
#endif

__attribute__((visibility("default"))) const struct lamina_driver_table *EXPORTED(void);
__attribute__((visibility("default"))) const struct lamina_driver_table *EXPORTED(void)
{
    static struct lamina_driver_table table;
    table = *example();
    spoil(&table);
    return FAULT == NO_TABLE ? NULL : &table;
}
