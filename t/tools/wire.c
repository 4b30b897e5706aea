
/*
 * A slow, long and lossy line from this network namespace to one of its own, in
 * which it runs a command:
 *
 *     wire RATE DELAY LOSS COMMAND [ARGUMENT...]
 *
 *     10.98.0.1 <-- tun --> wire <-- tun --> 10.98.0.2, COMMAND
 *
 * RATE: bits per second; DELAY: ms, each way; LOSS: how many of a million
 * packets are lost.  Each direction has a queue of what the line takes in
 * 50 ms; what comes when that is full is lost, too.  It ends with the command,
 * and the command with it.  IPv4 only; wants to be root.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>


#define PACKETS   8192      /* a power of two; on the line and in the queue */
#define MTU       1500
#define QUEUE_NS  50000000


typedef struct {
    int64_t    due;         /* ns */
    size_t     len;
    char       bytes[MTU];
} packet_t;


typedef struct {
    packet_t   packets[PACKETS];
    unsigned   first;       /* both count on and on */
    unsigned   next;
    int64_t    idle;        /* when all that is queued is on the line, ns */
    int        from;
    int        to;
} direction_t;


static int open_tun(const char *address);
static pid_t run(char **command, const sigset_t *mask);
static void forward(const sigset_t *mask);
static void take(direction_t *d, int64_t now);
static int64_t deliver(direction_t *d, int64_t now);
static int64_t now_ns(void);
static void on_signal(int signo);
static void fail(const char *what);


static double                  rate;
static int64_t                 delay;
static long                    loss;
static direction_t             directions[2];
static volatile sig_atomic_t   stopped;


int
main(int argc, char **argv)
{
    int       here, there;
    pid_t     pid;
    sigset_t  blocked, mask;

    if (argc < 5) {
        fprintf(stderr, "usage: wire RATE DELAY LOSS COMMAND...\n");
        return 2;
    }

    rate = atof(argv[1]);
    delay = atoll(argv[2]) * 1000000;
    loss = atol(argv[3]);

    here = open_tun("10.98.0.1/30");

    if (unshare(CLONE_NEWNET) == -1) {
        fail("unshare()");
    }

    there = open_tun("10.98.0.2/30");

    directions[0].from = directions[1].to = here;
    directions[1].from = directions[0].to = there;

    /* signals come while it waits, and at no other time */

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &mask);

    signal(SIGCHLD, on_signal);
    signal(SIGTERM, on_signal);

    pid = run(&argv[4], &mask);

    while (!stopped) {
        forward(&mask);
    }

    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);

    return 0;
}


/* A device of the present namespace. */

static int
open_tun(const char *address)
{
    int           fd;
    char          command[128];
    struct ifreq  ifr;

    fd = open("/dev/net/tun", O_RDWR|O_NONBLOCK|O_CLOEXEC);

    memset(&ifr, 0, sizeof(struct ifreq));
    ifr.ifr_flags = IFF_TUN|IFF_NO_PI;
    memcpy(ifr.ifr_name, "wire", sizeof("wire"));

    if (fd == -1 || ioctl(fd, TUNSETIFF, &ifr) == -1) {
        fail("/dev/net/tun");
    }

    snprintf(command, sizeof(command), "ip link set lo up"
             " && ip addr add %s dev wire && ip link set wire up mtu %d",
             address, MTU);

    if (system(command) != 0) {
        fail("ip");
    }

    return fd;
}


static pid_t
run(char **command, const sigset_t *mask)
{
    pid_t  pid;

    pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        sigprocmask(SIG_SETMASK, mask, NULL);
        execvp(command[0], command);
        fail(command[0]);
    }

    if (pid == -1) {
        fail("fork()");
    }

    return pid;
}


/* Waits until something can be done, and does it. */

static void
forward(const sigset_t *mask)
{
    int64_t          now, due, next;
    unsigned         i;
    struct pollfd    fds[2];
    struct timespec  timeout;

    now = now_ns();
    next = now + 1000000000;

    for (i = 0; i < 2; i++) {
        take(&directions[i], now);
        due = deliver(&directions[i], now);

        if (due != 0 && due < next) {
            next = due;
        }

        fds[i].fd = directions[i].from;
        fds[i].events = POLLIN;
    }

    timeout.tv_sec = (next - now) / 1000000000;
    timeout.tv_nsec = (next - now) % 1000000000;

    ppoll(fds, 2, &timeout, mask);
}


/* Takes what was sent: it is lost, or due when it has come through. */

static void
take(direction_t *d, int64_t now)
{
    char       spare[MTU];
    ssize_t    n;
    packet_t  *packet;

    for ( ;; ) {
        packet = NULL;

        if (d->next - d->first < PACKETS) {
            packet = &d->packets[d->next % PACKETS];
        }

        n = read(d->from, packet ? packet->bytes : spare, MTU);

        if (n <= 0) {
            return;
        }

        if (d->idle < now) {
            d->idle = now;
        }

        if (packet == NULL || d->idle - now > QUEUE_NS
            || random() % 1000000 < loss)
        {
            continue;
        }

        d->idle += n * 8 * 1e9 / rate;
        packet->due = d->idle + delay;
        packet->len = n;
        d->next++;
    }
}


/* Returns when the next one is due, or 0. */

static int64_t
deliver(direction_t *d, int64_t now)
{
    packet_t  *packet;

    while (d->first != d->next) {
        packet = &d->packets[d->first % PACKETS];

        if (packet->due > now) {
            return packet->due;
        }

        if (write(d->to, packet->bytes, packet->len) == -1
            && errno != EAGAIN && errno != EIO && errno != EINVAL)
        {
            fail("write()");
        }

        d->first++;
    }

    return 0;
}


static int64_t
now_ns(void)
{
    struct timespec  t;

    clock_gettime(CLOCK_MONOTONIC, &t);

    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}


static void
on_signal(int signo)
{
    (void) signo;

    stopped = 1;
}


static void
fail(const char *what)
{
    perror(what);
    exit(1);
}
