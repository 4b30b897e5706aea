
/*
 * Control messages, as the engine takes them: packets to a real engine on its
 * socket.  An input is a list of packets, each a length of two bytes and so
 * many bytes; a HELLO is said before them.  The engine must go on and answer
 * whoever comes next.
 *
 * libFuzzer has an alarm now and then, which interrupts what waits.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/engine.h"
#include "engine/shared/proto.h"
#include "fuzz.h"


#define ANSWER_TIME  20000      /* ms */


static void engine_host_log(void *ctx, int level, const char *text,
    size_t len);
static void engine_host_idle(void *ctx);
static const char *engine_host(void);
static void engine_host_remove(void);
static int say_hello(void);
static void say(int fd, const uint8_t *data, size_t size);
static void say_all(int fd, const uint8_t *data, size_t size);
static void ask_health(void);


static char  dir[] = "/dev/shm/fuzz-engine.XXXXXX";


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int  fd;

    fd = say_hello();
    say_all(fd, data, size);
    close(fd);

    ask_health();

    return 0;
}


static const char *
engine_host(void)
{
    char              err[256];
    engine_conf_t     conf;
    static engine_t  *engine;

    if (engine != NULL) {
        return dir;
    }

    FUZZ_CHECK(mkdtemp(dir) != NULL);
    atexit(engine_host_remove);
    atexit(engine_host_remove);

    memset(&conf, 0, sizeof(conf));
    conf.path = dir;
    conf.max_size = 1 << 20;
    conf.engines = 1;
    conf.listen = "127.0.0.1:0";
    conf.dht_bootstrap = "";
    conf.public_ip = "";
    conf.camouflage = "";
    conf.max_torrents = 100;
    conf.torrent_grace = 0;
    conf.readahead = 1 << 20;
    conf.log = engine_host_log;
    conf.idle = engine_host_idle;

    FUZZ_CHECK(engine_start(&engine, &conf, err, sizeof(err)) == 0);

    return dir;
}


/* While the engine runs: a host may have children. */

static void
engine_host_remove(void)
{
    char  command[sizeof(dir) + 16];

    snprintf(command, sizeof(command), "rm -rf '%s'", dir);

    (void) !system(command);
}


static void
engine_host_log(void *ctx, int level, const char *text, size_t len)
{
    (void) ctx;

    /* a client cannot bring it to that */

    if (level <= ENGINE_LOG_ALERT) {
        fprintf(stderr, "%.*s\n", (int) len, text);
        abort();
    }
}


static void
engine_host_idle(void *ctx)
{
    (void) ctx;
}


static int
say_hello(void)
{
    int                 fd, rc;
    proto_msg_t         msg;
    struct sockaddr_un  sun;

    memset(&sun, 0, sizeof(sun));
    sun.sun_family = AF_UNIX;
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/" PROTO_SOCKET,
             engine_host());

    fd = socket(AF_UNIX, SOCK_SEQPACKET|SOCK_CLOEXEC, 0);

    FUZZ_CHECK(fd != -1);

    do {
        rc = connect(fd, (struct sockaddr *) &sun, sizeof(sun));
    } while (rc == -1 && errno == EINTR);

    FUZZ_CHECK(rc == 0);

    memset(&msg, 0, sizeof(msg));
    msg.type = PROTO_HELLO;
    msg.arg0 = PROTO_VERSION;

    say(fd, (uint8_t *) &msg, sizeof(msg));

    return fd;
}


static void
say(int fd, const uint8_t *data, size_t size)
{
    ssize_t  n;

    /* the engine may have closed it for what was said before */

    do {
        n = send(fd, data, size, MSG_NOSIGNAL);
    } while (n == -1 && errno == EINTR);
}


static void
say_all(int fd, const uint8_t *data, size_t size)
{
    size_t  n;

    while (size > 2) {
        n = data[0] << 8 | data[1];
        n = (n < size - 2) ? n : size - 2;

        say(fd, data + 2, n);

        data += 2 + n;
        size -= 2 + n;
    }
}


static void
ask_health(void)
{
    int            fd, rc;
    ssize_t        n;
    proto_msg_t    msg;
    struct pollfd  pfd;
    static char    packet[PROTO_PACKET_MAX];

    fd = say_hello();

    memset(&msg, 0, sizeof(msg));
    msg.type = PROTO_CALL;
    msg.kind = PROTO_CALL_HEALTH;
    msg.tag = 1;

    say(fd, (uint8_t *) &msg, sizeof(msg));

    do {
        pfd.fd = fd;
        pfd.events = POLLIN;

        do {
            rc = poll(&pfd, 1, ANSWER_TIME);
        } while (rc == -1 && errno == EINTR);

        FUZZ_CHECK(rc == 1);

        n = recv(fd, packet, sizeof(packet), 0);

        FUZZ_CHECK(n >= (ssize_t) sizeof(msg));
        memcpy(&msg, packet, sizeof(msg));

    } while (msg.type != PROTO_REPLY);

    FUZZ_CHECK(msg.status == 200);

    close(fd);
}
