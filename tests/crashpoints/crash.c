/* Preloaded into the manager: counts the calls that change something outside of it, by kind, and
 * kills it before the Nth of one kind. Its own threads count, its children do not; but a child
 * that is about to execute a program counts as the manager's `execve`, and goes on when the
 * manager is killed, as it would.
 *
 * Where `hold` (milliseconds) is given, a thread other than the main one waits so long before that
 * call, while all others go on: an answer that does not wait for what it promises gets out then.
 *
 * The test and the manager share `struct control`, a file that $CRASH_CONTROL names. In all other
 * processes (agents, the log daemon: they inherit the environment) this does nothing. A manager is
 * known by its command line, or is what the tests' fork server forks; its environment is there later. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind {
    OPEN, WRITE, PWRITE, TRUNCATE, RENAME, LINK, UNLINK, MKDIR, FSYNC, KILL, PIDFD_SEND_SIGNAL,
    PRLIMIT, CLONE, EXECVE, SEND, SENT, KINDS
};

struct control {
    int armed, kind, number, hold, hit;
    int counts[KINDS];
    char where[400];
};

static struct control *control;
static pid_t manager;
static dev_t pipes; /* where pipes without a name are: nobody else sees them */
static int is_fork_server, is_forked;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void attach(void)
{
    const char *path = getenv("CRASH_CONTROL");
    struct stat st;
    int both[2];
    if (path == NULL || pipe2(both, O_CLOEXEC) != 0)
        return;
    fstat(both[0], &st);
    pipes = st.st_dev;
    close(both[0]);
    close(both[1]);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *shared = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    manager = getpid();
    control = shared == MAP_FAILED ? NULL : shared;
}

static int is_attached(void)
{
    if (is_forked) {
        is_forked = 0; /* first: it opens a file */
        attach();
    }
    return control != NULL;
}

static void in_child(void)
{
    is_forked = is_fork_server;
    is_fork_server = 0;
}

static void point(enum kind kind, const char *where)
{
    pid_t me = getpid();
    if (!is_attached() || (me != manager && !(kind == EXECVE && getppid() == manager)))
        return;
    if (!__atomic_load_n(&control->armed, __ATOMIC_SEQ_CST))
        return;
    int number = __atomic_add_fetch(&control->counts[kind], 1, __ATOMIC_SEQ_CST);
    if (kind != (enum kind)control->kind || number != control->number)
        return;
    strncpy(control->where, where, sizeof control->where - 1);
    control->hit = 1;
    if (me == manager && gettid() != me)
        usleep(1000 * control->hold);
    REAL(kill)(manager, SIGKILL);
    while (me == manager)
        pause();
}

static void point_fd(enum kind kind, int fd)
{
    struct stat st;
    char link[40], path[400] = "";
    if (!is_attached() || fd == 1 || fd == 2 || fstat(fd, &st) != 0)
        return;
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)
        && !(S_ISFIFO(st.st_mode) && st.st_dev != pipes))
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0)
        path[0] = 0;
    point(kind, path);
}

/* What is said to the fork server and to what it forked: no other socket of the manager is of this
 * type. They act on it by themselves, so what comes after it is a point, too. */
static int is_packet_socket(int fd)
{
    int type = 0;
    socklen_t size = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

__attribute__((constructor)) static void begin(void)
{
    static char line[65536];
    const char *word;
    int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC), ours = 0;
    ssize_t size = fd < 0 ? 0 : read(fd, line, sizeof line - 1);
    close(fd);
    for (word = line; word < line + size; word += strlen(word) + 1) {
        ours |= strcmp(word, "hostmanager.agent") == 0;
        is_fork_server |= strcmp(word, "tests.support.fork_server") == 0;
    }
    if (ours)
        attach();
    else if (is_fork_server)
        pthread_atfork(NULL, NULL, in_child);
}

#define CHANGES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))

#define OPENS(name)                                                                              \
    int name(const char *path, int flags, ...)                                                   \
    {                                                                                            \
        va_list more;                                                                            \
        va_start(more, flags);                                                                   \
        mode_t mode = va_arg(more, mode_t);                                                      \
        va_end(more);                                                                            \
        if (CHANGES(flags) && strcmp(path, "/dev/null") != 0)                                    \
            point(OPEN, path);                                                                   \
        return REAL(name)(path, flags, mode);                                                    \
    }
#define OPENS_AT(name)                                                                           \
    int name(int at, const char *path, int flags, ...)                                           \
    {                                                                                            \
        va_list more;                                                                            \
        va_start(more, flags);                                                                   \
        mode_t mode = va_arg(more, mode_t);                                                      \
        va_end(more);                                                                            \
        if (CHANGES(flags))                                                                      \
            point(OPEN, path);                                                                   \
        return REAL(name)(at, path, flags, mode);                                                \
    }
OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)

#define ON_FD(type, name, kind, parameters, ...)                                                 \
    type name parameters                                                                         \
    {                                                                                            \
        point_fd(kind, fd);                                                                      \
        return REAL(name)(__VA_ARGS__);                                                          \
    }
#define ON_PATH(type, name, kind, parameters, ...)                                               \
    type name parameters                                                                         \
    {                                                                                            \
        point(kind, path);                                                                       \
        return REAL(name)(__VA_ARGS__);                                                          \
    }
ON_FD(ssize_t, write, WRITE, (int fd, const void *data, size_t size), fd, data, size)
ON_FD(ssize_t, writev, WRITE, (int fd, const struct iovec *parts, int n), fd, parts, n)
ON_FD(ssize_t, pwrite, PWRITE, (int fd, const void *data, size_t size, off_t at), fd, data, size, at)
ON_FD(ssize_t, pwrite64, PWRITE, (int fd, const void *data, size_t size, off64_t at), fd, data, size, at)
ON_FD(int, ftruncate, TRUNCATE, (int fd, off_t size), fd, size)
ON_FD(int, ftruncate64, TRUNCATE, (int fd, off64_t size), fd, size)
ON_FD(int, posix_fallocate, TRUNCATE, (int fd, off_t at, off_t size), fd, at, size)
ON_FD(int, posix_fallocate64, TRUNCATE, (int fd, off64_t at, off64_t size), fd, at, size)
ON_FD(int, fsync, FSYNC, (int fd), fd)
ON_FD(int, fdatasync, FSYNC, (int fd), fd)
ON_PATH(int, truncate, TRUNCATE, (const char *path, off_t size), path, size)
ON_PATH(int, truncate64, TRUNCATE, (const char *path, off64_t size), path, size)
ON_PATH(int, rename, RENAME, (const char *path, const char *to), path, to)
ON_PATH(int, renameat, RENAME, (int at, const char *path, int to_at, const char *to), at, path, to_at, to)
ON_PATH(int, link, LINK, (const char *path, const char *to), path, to)
ON_PATH(int, linkat, LINK, (int at, const char *path, int to_at, const char *to, int f), at, path, to_at, to, f)
ON_PATH(int, symlink, LINK, (const char *path, const char *to), path, to)
ON_PATH(int, unlink, UNLINK, (const char *path), path)
ON_PATH(int, unlinkat, UNLINK, (int at, const char *path, int flags), at, path, flags)
ON_PATH(int, rmdir, UNLINK, (const char *path), path)
ON_PATH(int, mkdir, MKDIR, (const char *path, mode_t mode), path, mode)
ON_PATH(int, mkdirat, MKDIR, (int at, const char *path, mode_t mode), at, path, mode)
ON_PATH(int, mkfifo, MKDIR, (const char *path, mode_t mode), path, mode)
ON_PATH(int, mkfifoat, MKDIR, (int at, const char *path, mode_t mode), at, path, mode)
ON_PATH(int, mknod, MKDIR, (const char *path, mode_t mode, dev_t dev), path, mode, dev)
ON_PATH(int, execve, EXECVE, (const char *path, char *const argv[], char *const envp[]), path, argv, envp)
ON_PATH(int, execv, EXECVE, (const char *path, char *const argv[]), path, argv)

#define SENDS(name, parameters, ...)                                                             \
    ssize_t name parameters                                                                      \
    {                                                                                            \
        if (!is_packet_socket(fd))                                                               \
            return REAL(name)(__VA_ARGS__);                                                      \
        point(SEND, #name);                                                                      \
        ssize_t sent = REAL(name)(__VA_ARGS__);                                                  \
        int error = errno;                                                                       \
        point(SENT, #name);                                                                      \
        errno = error;                                                                           \
        return sent;                                                                             \
    }
SENDS(send, (int fd, const void *data, size_t size, int flags), fd, data, size, flags)
SENDS(sendmsg, (int fd, const struct msghdr *message, int flags), fd, message, flags)

int kill(pid_t pid, int number)
{
    if (number != 0)
        point(KILL, "kill");
    return REAL(kill)(pid, number);
}

int killpg(pid_t group, int number)
{
    point(KILL, "killpg");
    return REAL(killpg)(group, number);
}

int prlimit(pid_t pid, enum __rlimit_resource what, const struct rlimit *new, struct rlimit *old)
{
    if (new != NULL)
        point(PRLIMIT, "prlimit");
    return REAL(prlimit)(pid, what, new, old);
}

int prlimit64(pid_t pid, enum __rlimit_resource what, const struct rlimit64 *new, struct rlimit64 *old)
{
    if (new != NULL)
        point(PRLIMIT, "prlimit");
    return REAL(prlimit64)(pid, what, new, old);
}

long syscall(long number, ...)
{
    va_list more;
    va_start(more, number);
    long a = va_arg(more, long), b = va_arg(more, long), c = va_arg(more, long);
    long d = va_arg(more, long), e = va_arg(more, long), f = va_arg(more, long);
    va_end(more);
    if (number == SYS_pidfd_send_signal && b != 0)
        point(PIDFD_SEND_SIGNAL, "pidfd_send_signal");
    return REAL(syscall)(number, a, b, c, d, e, f);
}

pid_t fork(void)
{
    point(CLONE, "fork");
    return REAL(fork)();
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[], char *const envp[])
{
    point(CLONE, path);
    return REAL(posix_spawn)(pid, path, actions, attributes, argv, envp);
}

/* vfork returns twice on the stack of who called it, so it must be jumped to, not called. */
__attribute__((used)) static void *vfork_address(void)
{
    point(CLONE, "vfork");
    return dlsym(RTLD_NEXT, "vfork");
}
#ifdef __x86_64__
__asm__(".globl vfork\n.type vfork,@function\nvfork:\n\tsubq $8, %rsp\n\tcall vfork_address\n"
        "\taddq $8, %rsp\n\tjmp *%rax\n");
#elif defined(__aarch64__)
__asm__(".globl vfork\n.type vfork,%function\nvfork:\n\tstp x29, x30, [sp, -16]!\n"
        "\tbl vfork_address\n\tldp x29, x30, [sp], 16\n\tbr x0\n");
#endif
