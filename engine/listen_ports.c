
#include "engine/listen_ports.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <sys/socket.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "engine/core/log.h"


#define PORTS_INTERVAL  3000    /* ms between looks */
#define PORTS_BUFFER    8192    /* bytes; the kernel's messages are smaller */


static void ports_address(engine_t *engine, struct nlmsghdr *message);
static void ports_soon(engine_t *engine);


int
ports_open(engine_t *engine)
{
    struct sockaddr_nl  sa;

    engine->addresses = socket(AF_NETLINK,
                               SOCK_RAW|SOCK_NONBLOCK|SOCK_CLOEXEC,
                               NETLINK_ROUTE);

    memset(&sa, 0, sizeof(sa));
    sa.nl_family = AF_NETLINK;
    sa.nl_groups = RTMGRP_IPV4_IFADDR|RTMGRP_IPV6_IFADDR;

    if (engine->addresses == -1
        || bind(engine->addresses, (struct sockaddr *) &sa, sizeof(sa)) == -1)
    {
        engine_log(engine, ENGINE_LOG_INFO, errno,
                   "the kernel does not tell of addresses that change");
        ports_close(engine);
    }

    return 0;
}


int
ports_fd(const engine_t *engine)
{
    return engine->addresses;
}


void
ports_close(engine_t *engine)
{
    if (engine->addresses != -1) {
        close(engine->addresses);
        engine->addresses = -1;
    }
}


void
ports_event(engine_t *engine)
{
    ssize_t            n;
    unsigned           size;
    struct nlmsghdr   *message;
    union {
        struct nlmsghdr  align;
        char             bytes[PORTS_BUFFER];
    } buffer;

    for ( ;; ) {
        n = recv(engine->addresses, &buffer, sizeof(buffer), 0);

        if (n <= 0) {

            if (n == -1 && (errno == EINTR || errno == ENOBUFS)) {
                continue;
            }

            return;
        }

        size = n;

        for (message = &buffer.align;
             NLMSG_OK(message, size);
             message = NLMSG_NEXT(message, size))
        {
            ports_address(engine, message);
        }
    }
}


/*
 * An address came or went: what listens there may have to be opened anew.
 */
static void
ports_address(engine_t *engine, struct nlmsghdr *message)
{
    int                size;
    char               text[INET6_ADDRSTRLEN];
    struct rtattr     *attr, *found;
    struct ifaddrmsg  *address;

    if ((message->nlmsg_type != RTM_NEWADDR
         && message->nlmsg_type != RTM_DELADDR)
        || message->nlmsg_len < NLMSG_LENGTH(sizeof(*address)))
    {
        return;
    }

    address = NLMSG_DATA(message);
    size = IFA_PAYLOAD(message);
    found = NULL;

    for (attr = IFA_RTA(address);
         RTA_OK(attr, size);
         attr = RTA_NEXT(attr, size))
    {
        /* the second is the other end's if there is the first, too */

        if (attr->rta_type == IFA_LOCAL
            || (attr->rta_type == IFA_ADDRESS && found == NULL))
        {
            found = attr;
        }
    }

    if (found != NULL
        && RTA_PAYLOAD(found) >= (address->ifa_family == AF_INET ? 4 : 16)
        && inet_ntop(address->ifa_family, RTA_DATA(found), text, sizeof(text))
        && shim_listen_address(engine->shim, text,
                               message->nlmsg_type == RTM_NEWADDR))
    {
        ports_soon(engine);
    }
}


void
ports_listening(engine_t *engine, const shim_event_t *ev)
{
    engine_log(engine, ev->level, 0,
               ev->type == SHIM_EVENT_LISTENING
               ? "listening for peers on %s"
               : "listening for peers failed: %s", ev->text);

    if (ev->level != SHIM_LOG_NOTICE) {
        ports_soon(engine);
    }
}


static void
ports_soon(engine_t *engine)
{
    if (engine->ports_next == 0) {
        engine->ports_next = engine_now() + PORTS_INTERVAL;
    }
}


int
ports_poll(engine_t *engine)
{
    int64_t  now;

    if (engine->ports_next == 0) {
        return -1;
    }

    now = engine_now();

    if (engine->ports_next <= now) {
        engine->ports_next = shim_listen_again(engine->shim)
                             ? now + PORTS_INTERVAL : 0;
    }

    return engine->ports_next ? (int) (engine->ports_next - now) : -1;
}
