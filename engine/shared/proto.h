
/*
 * The control protocol between a worker and the engine.
 *
 * A SOCK_SEQPACKET Unix socket, <cache>/engine.sock; one packet is one
 * message: a proto_msg_t, then body_len bytes of body, and for some a passed
 * descriptor (SCM_RIGHTS).  Host byte order: both ends are one machine, and
 * HELLO carries the version.
 *
 *      worker                                      engine
 *      HELLO version                  ------>
 *                                     <------      WELCOME version
 *      HOLD tag ih [v2, magnet]       ------>      loads, holds for that tag
 *                                     <------      READY tag ih   the map is
 *                                                                 there, or
 *                                     <------      FAIL tag status text
 *      READ tag begin end             ------>      schedules
 *                                     <------      WAKE tag       look again
 *      RELEASE tag                    ------>      forgets the reader
 *                                     <------      CHANGED ih pieces, if a
 *                                                  HOLD of it says WATCH
 *
 *      STAGE tag bytes                ------>      makes room for an upload
 *                                     <------      STAGED tag bytes, or FAIL
 *
 *      MISSING ih piece               ------>      evicts it, if it is so
 *
 *      CALL tag kind flags ih [body]  ------>
 *                                     <------      REPLY tag status [body | fd]
 *
 * Rules:
 *  1. A tag names one request of one connection; the worker chooses it, nonzero
 *     and unused.  End of file drops all tags of the connection.
 *  2. HOLD comes before READ of a tag; both may be said again at any time (the
 *     last READ counts), and are said again after a reconnect.
 *  3. WAKE is a hint; the map tells what is complete.  WAKE with tag 0 means
 *     that hints were lost: look at everything.  READY, FAIL, REPLY and
 *     CHANGED are never lost on a live connection; several changes of a piece
 *     may be told as one, after the last of them was made.
 *  4. After FAIL or REPLY the engine has forgotten the tag; RELEASE is not
 *     needed, and harmless.  An unknown tag is ignored.
 *  5. Whoever meets a message it cannot understand closes the connection.
 */

#ifndef _ENGINE_PROTO_H_INCLUDED_
#define _ENGINE_PROTO_H_INCLUDED_


#include <stdint.h>


#define PROTO_VERSION   1
#define PROTO_SOCKET    "engine.sock"
#define PROTO_BODY_MAX  65536           /* bytes of body in a packet */


typedef enum {
    PROTO_HELLO = 1,        /* w: arg0 version, arg1 pid */
    PROTO_WELCOME,          /* e: arg0 version */
    PROTO_HOLD,             /* w: tag, flags, ih; body: proto_hold_t, then
                               magnet */
    PROTO_READ,             /* w: tag; arg0 begin, arg1 end: [begin, end) of
                               the piece space, what the response will still
                               read; begin is the next byte it needs */
    PROTO_RELEASE,          /* w: tag */
    PROTO_READY,            /* e: tag; ih: the torrent's own name, under which
                               its map is found */
    PROTO_WAKE,             /* e: tag, or 0: all */
    PROTO_FAIL,             /* e: tag, status; body: text, a line without LF */
    PROTO_CALL,             /* w: tag, kind, flags, ih; body as for kind; a
                               descriptor for _METAINFO_POST and _UPLOAD */
    PROTO_REPLY,            /* e: tag, status, flags; body, or if arg0 != 0 a
                               descriptor of a file of arg0 bytes from 0 on */
    PROTO_EVICTED,          /* e: ih, arg0 segment: close idle descriptors of
                               its older generations */
    PROTO_CHANGED,          /* e: ih; body: uint32_t each, pieces whose state
                               has changed */
    PROTO_TAKEOVER,         /* a waiting engine: arg1 pid; no HELLO before */
    PROTO_STAGE,            /* w: tag; arg0: bytes of an upload that must have
                               room, arg1: bytes that may come, at most */
    PROTO_STAGED,           /* e: tag; arg0: bytes that have room */
    PROTO_MISSING           /* w: ih, arg0: a piece that is complete, but what
                               it lies in cannot be opened; no tag */
} proto_type_e;


typedef enum {
    PROTO_CALL_INFO = 1,        /* ih; body as HOLD; PROTO_NOWAIT.
                                   200: info dict bytes */
    PROTO_CALL_METAINFO,        /* same; 200: a .torrent; PROTO_JSON */
    PROTO_CALL_METAINFO_POST,   /* fd: file with the body, arg0 its length; ih
                                   and body as HOLD if the query names one
                                   (else ih all zero, no body).
                                   200: 40 hex and LF */
    PROTO_CALL_STATUS,          /* 200: text; PROTO_JSON */
    PROTO_CALL_HEALTH,          /* 200: empty */
    PROTO_CALL_ITEM,            /* of the DHT, BEP 44. ih: the target; body
                                   as HOLD, with the salt for a magnet; arg0:
                                   ms that it may take. 200: its value */
    PROTO_CALL_UPLOAD,          /* fd: a manifest (manifest.h), arg0 its
                                   length; WAKE: there is progress.
                                   200: a .torrent */
    PROTO_CALL_METRICS,         /* 200: text, of Prometheus */
    PROTO_CALL_DEBUG,           /* 200: text, as all below: what there is */
    PROTO_CALL_DEBUG_DHT,
    PROTO_CALL_DEBUG_CACHE,
    PROTO_CALL_DEBUG_LRU,
    PROTO_CALL_DEBUG_PEERS
} proto_call_e;


/* flags */
#define PROTO_NOWAIT    0x0001  /* 202 "info not ready" instead of waiting */
#define PROTO_WATCH     0x0004  /* HOLD: tell CHANGED until it is released */
#define PROTO_JSON      0x0002


typedef struct {
    uint16_t    type;           /* proto_type_e */
    uint16_t    kind;           /* proto_call_e */
    uint16_t    flags;
    uint16_t    status;         /* an HTTP status */
    uint32_t    tag;
    uint32_t    body_len;       /* bytes that follow */
    uint64_t    arg0;
    uint64_t    arg1;
    uint8_t     ih[20];
    uint32_t    reserved;       /* 0 */
} proto_msg_t;


/*
 * The body of HOLD: what the request knows of the torrent.  A magnet's text
 * follows (the decoded value of the query parameter), as long as the body.
 */
typedef struct {
    uint8_t     has_v2;
    uint8_t     reserved[3];
    uint8_t     v2[32];         /* the full v2 infohash, if known */
} proto_hold_t;


/* A packet never exceeds this. */
#define PROTO_PACKET_MAX  (sizeof(proto_msg_t) + PROTO_BODY_MAX)


#endif /* _ENGINE_PROTO_H_INCLUDED_ */
