/*
 * shim.h: libtorrent behind plain C.
 *
 * A shim is one libtorrent session with a disk back end and a peer plugin of
 * ours.  It moves blocks between the swarm and a storage that the caller
 * supplies, and verifies pieces; it keeps no payload and decides nothing about
 * what to fetch or to evict.
 *
 *      owner thread                libtorrent threads, hash threads
 *      ------------                --------------------------------
 *      shim_add/want/forget  ----> session (posted, in order)
 *      shim_next_event      <----  event queue + eventfd
 *                                  storage->begin/write/mark (thread safe)
 *
 * Rules:
 *  1. Every function below is called on the owner thread, the one that called
 *     shim_open(), and is noexcept.  None waits for the network.
 *  2. The storage functions are called on the shim's threads, several at once.
 *     They may do disk I/O on the page cache; they must not call the shim.
 *  3. libtorrent never owns a piece: the back end puts it together in memory,
 *     verifies it, writes it to the storage, and answers libtorrent's jobs as
 *     aborted.  Bytes that were not verified never reach the storage.
 *     Thus nothing need be forgotten when the caller evicts a piece, and what
 *     was evicted can be wanted again at once.
 *  4. A torrent is named by an id with a generation; an id of a removed
 *     torrent is refused with SHIM_GONE, never mistaken for another.
 */

#ifndef CONFLUENCE_SHIM_H
#define CONFLUENCE_SHIM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef int32_t shim_rc_t;

#define SHIM_OK          0
#define SHIM_ERROR      -1      /* see the text */
#define SHIM_GONE       -2      /* no such torrent */
#define SHIM_NOT_READY  -3      /* metadata not known yet */
#define SHIM_INVALID    -4      /* the caller's data is bad: see the text */
#define SHIM_EXISTS     -5      /* the torrent is there already, id returned */
#define SHIM_MALFORMED  -6      /* what is given as bencoded is not */

typedef struct shim_s shim_t;
typedef uint64_t shim_id_t;     /* 0 is no torrent */


/*
 * Where verified bytes live.  ctx is the storage of one torrent, handed over
 * by shim_attach(); the shim calls release(ctx) exactly once, when no job of
 * that torrent can use it any more.  Offsets are bytes within the piece.
 */
typedef enum
{
    SHIM_PIECE_EMPTY,           /* given up, or bad: nothing is there */
    SHIM_PIECE_QUEUED,          /* all blocks have come */
    SHIM_PIECE_HASHING,
    SHIM_PIECE_COMPLETE         /* verified and written */
} shim_piece_state_t;

typedef struct
{
    /*
     * The first block of a piece has come; blocks are kept in memory until
     * the piece is verified.  Network thread.  Returns 0 and the generation
     * the piece will belong to; EAGAIN: it has no space reserved (nobody wants
     * it any more), the block is dropped; EEXIST: it is complete already, the
     * block is dropped; else errno.
     */
    int (*begin)(void* ctx, uint32_t piece, uint32_t* generation);

    /*
     * Writes a whole piece, which was verified; it is not there for anybody
     * until it is marked complete.  Hash thread.  Returns 0; ESTALE if that
     * generation was evicted meanwhile; EAGAIN: the piece's space was given
     * back; else errno.
     */
    int (*write)(void* ctx,
        uint32_t piece,
        uint32_t generation,
        void const* buf,
        uint32_t len);

    /*
     * What became of a piece that was begun.  Once it is marked complete its
     * bytes are served to clients.  Network or hash thread.  Returns 0, or
     * ESTALE if that generation was evicted meanwhile.
     */
    int (*mark)(void* ctx,
        uint32_t piece,
        uint32_t generation,
        shim_piece_state_t state);

    /* Nonzero if that generation was not evicted.  Any thread. */
    int (*current)(void* ctx, uint32_t piece, uint32_t generation);

    /*
     * Reads len bytes of a complete piece.  Network thread.  Returns 0, ESTALE
     * if it is not complete, or errno.
     */
    int (*read)(void* ctx,
        uint32_t piece,
        uint32_t offset,
        void* buf,
        uint32_t len);

    /* Nonzero if the piece is complete.  Any thread, lock free. */
    int (*complete)(void* ctx, uint32_t piece);

    /* The last call for this ctx. */
    void (*release)(void* ctx);
} shim_storage_t;


/* Addresses in network order; those of IPv4 as ::ffff:a.b.c.d. */
typedef struct
{
    uint8_t first[16];
    uint8_t last[16];           /* inclusive, not before the first */
} shim_range_t;

typedef struct
{
    uint32_t size;              /* sizeof(shim_config_t) */
    char const* listen;         /* libtorrent's form: "0.0.0.0:42069,[::]:42069" */
    char const* dht_bootstrap;  /* "host:port,host:port", "" for none */
    char const* public_ip;      /* "a,b": the first is told to trackers */
    char const* user_agent;     /* "confluence-nginx/0.1" */
    uint8_t dht;
    uint8_t pex;
    uint8_t lsd;
    uint8_t private_networks;   /* 0: nobody there is talked to */
    uint8_t utp;
    uint8_t tcp;
    uint8_t upnp;
    uint8_t trackers;           /* 0: nothing is announced */
    uint8_t override_trackers;  /* those of added .torrents are not taken */
    uint8_t seed;               /* upload to anyone; 0: only while reading */
    uint32_t max_connections;   /* of the session; 0: the default of 500 */
    uint32_t upload_rate;       /* bytes per second, 0: no limit */
    uint32_t download_rate;     /* bytes per second, 0: no limit */
    char const* camouflage;     /* a database for greetings, "" for none */
    shim_range_t const* blocked; /* peers, trackers, web seeds; copied */
    size_t blocked_n;
    shim_storage_t storage;
} shim_config_t;

/*
 * Opens a session.  config is copied.  All signals are blocked in the threads
 * it starts.  Returns SHIM_OK and *out, or SHIM_ERROR and a text in err.
 */
shim_rc_t shim_open(shim_config_t const* config,
    shim_t** out,
    char* err,
    size_t err_size);

/*
 * Stops everything: trackers are told within deadline_ms (0: not at all), all
 * threads are joined, every attached storage is released.
 */
void shim_close(shim_t* s, uint32_t deadline_ms);

/* An eventfd, readable when shim_next_event() has something. */
int shim_event_fd(shim_t* s);


typedef struct
{
    uint32_t size;              /* sizeof(shim_add_t) */
    uint8_t const* v1;          /* 20 bytes or NULL */
    uint8_t const* v2;          /* 32 bytes or NULL */
    void const* metainfo;       /* a .torrent, or NULL: metadata from peers */
    size_t metainfo_len;
    char const* name;           /* shown until the info is known, or NULL */
} shim_add_t;

/*
 * Adds a torrent that fetches nothing until shim_want().  With metainfo the
 * infohashes may be NULL; if given, the info must hash to them.  The metainfo's
 * own trackers (see override_trackers), web seeds and DHT nodes are taken, with
 * their tiers.
 *
 * With metainfo shim_info() works at once; without it, after
 * SHIM_EVENT_METADATA.
 *
 * Returns SHIM_OK; SHIM_EXISTS and the id it has (nothing was changed);
 * SHIM_MALFORMED and a text: not a bencoded dictionary; SHIM_INVALID and a
 * text: absurd, or of another infohash; SHIM_NOT_READY: a dictionary without
 * info; SHIM_ERROR.
 */
shim_rc_t shim_add(shim_t* s,
    shim_add_t const* a,
    shim_id_t* id,
    char* err,
    size_t err_size);

/*
 * Gives a torrent that waits for its metadata a .torrent with it, whose sources
 * (below) are added to those that it has.  Its peers and trackers stay, unless
 * libtorrent does not take the info: the torrent is removed then, and added
 * anew, with another id.  Returns as shim_add(); if that fails because of the
 * metainfo, nothing was changed.
 */
shim_rc_t shim_replace(shim_t* s,
    shim_id_t old,
    shim_add_t const* a,
    shim_id_t* id,
    char* err,
    size_t err_size);

/*
 * Merges the sources of a .torrent into those of a torrent, trackers tier by
 * tier and only if trackers is nonzero; its info, if any, is not looked at.
 * SHIM_MALFORMED and a text if it is not a bencoded dictionary.
 */
shim_rc_t shim_merge(shim_t* s,
    shim_id_t id,
    void const* metainfo,
    size_t metainfo_len,
    int trackers,
    char* err,
    size_t err_size);

/* Removes a torrent; peers are dropped, trackers told.  Data stays. */
shim_rc_t shim_remove(shim_t* s, shim_id_t id);

/* Adds a tracker URL to a tier unless any tier has it. */
shim_rc_t shim_add_tracker(shim_t* s,
    shim_id_t id,
    char const* url,
    uint32_t tier);

/*
 * Nonzero if that address is not to be talked to (private_networks, blocked).
 * len: 4 or 16 bytes of it, in network order.  Any thread.
 */
int shim_blocks(shim_t* s, void const* address, size_t len);

/* Adds a web seed (BEP 19) unless it is known. */
shim_rc_t shim_add_web_seed(shim_t* s, shim_id_t id, char const* url);

/*
 * The sources: what is told of a torrent beside its info, by .torrents,
 * magnets and shim_add_tracker(), whether it is used (shim_config_t.trackers)
 * or not.  Texts are "" if nothing was told, and valid until the next call
 * that is about the torrent.
 */
typedef struct
{
    uint32_t tracker_n;
    uint32_t web_seed_n;
    uint32_t node_n;            /* of the DHT, BEP 5 */
    char const* comment;
    char const* created_by;
    int64_t creation_date;      /* seconds since 1970, 0: not told */
} shim_sources_t;

typedef enum
{
    SHIM_SOURCE_TRACKER,        /* text: URL; number: tier, ascending */
    SHIM_SOURCE_WEB_SEED,       /* text: URL */
    SHIM_SOURCE_NODE            /* text: host; number: port */
} shim_source_e;

shim_rc_t shim_sources(shim_t* s, shim_id_t id, shim_sources_t* sources);

/* One of them, or SHIM_INVALID if there are not so many. */
shim_rc_t shim_source(shim_t* s,
    shim_id_t id,
    shim_source_e kind,
    uint32_t n,
    char const** text,
    uint32_t* number);

/*
 * Dials a peer at once: "1.2.3.4:5", "[::1]:5"; a host name is resolved.
 * SHIM_INVALID if it is not of that form.
 */
shim_rc_t shim_add_peer(shim_t* s, shim_id_t id, char const* host_port);


#define SHIM_PAD_FILE    0x01   /* BEP 47: alignment, zeros */

typedef struct
{
    uint32_t size;              /* sizeof(shim_info_t) */
    uint8_t v1[20];
    uint8_t v2[32];
    uint8_t has_v1;
    uint8_t has_v2;
    uint8_t single_file;        /* display path is the name */
    uint8_t is_private;         /* BEP 27 */
    uint32_t piece_length;      /* bytes, > 0 */
    uint32_t piece_n;
    uint64_t total_size;        /* bytes of the piece space, pads included */
    uint32_t file_n;            /* pads included */
    int64_t creation_date;      /* seconds since 1970, 0: not told */
    char const* name;           /* raw bytes, not terminated, as shim_file_t */
    uint32_t name_len;
} shim_info_t;

typedef struct
{
    uint64_t offset;            /* in the piece space */
    uint64_t length;
    char const* path;           /* display path as in the info dict, raw bytes */
    uint32_t path_len;
    uint32_t flags;
} shim_file_t;

/*
 * The layout, once SHIM_EVENT_METADATA was seen.  Pointers are valid until the
 * torrent is removed.  SHIM_NOT_READY before.
 *
 * Display paths: name.utf-8 or name of a single-file torrent; else the
 * components of path.utf-8 or path joined by '/', without the name; of the
 * file tree for v2.  Raw bytes, neither sanitized nor normalised.
 */
shim_rc_t shim_info(shim_t* s, shim_id_t id, shim_info_t* info);
shim_rc_t shim_file(shim_t* s, shim_id_t id, uint32_t n, shim_file_t* file);

/* The raw info dictionary; valid until the torrent is removed. */
shim_rc_t shim_info_bytes(shim_t* s,
    shim_id_t id,
    void const** buf,
    size_t* len);

/*
 * Bencodes a .torrent: announce, announce-list, comment, created by, creation
 * date, info, nodes, piece layers, url-list; absent keys are omitted.  comment
 * (may be NULL), created_by and creation_date (0: none) are used if the
 * torrent's sources have none.  *buf is freed by shim_free().  SHIM_NOT_READY
 * without info.
 */
shim_rc_t shim_metainfo(shim_t* s,
    shim_id_t id,
    char const* comment,
    char const* created_by,
    int64_t creation_date,
    void** buf,
    size_t* len);
void shim_free(void* buf);

/*
 * The piece layers (BEP 52) of the files that have theirs: *list is freed by
 * shim_free(), *n is how many there are; 0 for a torrent that is not v2.
 */
typedef struct
{
    uint8_t root[32];           /* of the file's tree */
    void const* hashes;         /* within *list */
    size_t len;                 /* bytes, 32 for each piece */
} shim_layer_t;

shim_rc_t shim_layers(shim_t* s, shim_id_t id, shim_layer_t** list, uint32_t* n);

/*
 * Nonzero if shim_metainfo() has all there is to have: false for a v2 torrent
 * whose piece layers were not told by a .torrent or by peers yet.
 */
int shim_is_whole(shim_t* s, shim_id_t id);


/*
 * Makes a .torrent, v1, with a list of files even if there is but one.  *buf
 * is freed by shim_free().  SHIM_INVALID and a text if it would be too big.
 * Any thread.
 */
typedef struct
{
    char const* path;           /* components joined by '/' */
    uint32_t path_len;
    uint64_t length;            /* bytes */
} shim_create_file_t;

typedef struct
{
    char const* host;
    uint16_t port;
} shim_create_node_t;

typedef struct
{
    uint32_t size;              /* sizeof(shim_create_t) */
    char const* name;           /* raw bytes */
    uint32_t name_len;
    shim_create_file_t const* files;
    uint32_t file_n;
    uint32_t piece_length;      /* bytes */
    void const* pieces;         /* SHA-1 of each */
    size_t pieces_len;          /* bytes */
    char const* const* trackers;    /* one tier, ended by NULL; or NULL */
    shim_create_node_t const* nodes;
    uint32_t node_n;
    char const* created_by;
    int64_t creation_date;      /* seconds since 1970 */
} shim_create_t;

shim_rc_t shim_create(shim_create_t const* c,
    void** buf,
    size_t* len,
    char* err,
    size_t err_size);


/*
 * What the pieces of a torrent must hash to, for bytes that were stored
 * earlier.  Outlives the torrent; freed by shim_hashes_free(), which may be
 * called with NULL.
 */
typedef struct shim_hashes_s shim_hashes_t;

/* Of a torrent whose info is known: SHIM_OK, SHIM_NOT_READY, SHIM_GONE. */
shim_rc_t shim_hashes(shim_t* s, shim_id_t id, shim_hashes_t** out);

/*
 * Of a .torrent whose v1 infohash, or v2 infohash cut to 20 bytes, is ih; else
 * SHIM_INVALID.  Any thread.
 */
shim_rc_t shim_hashes_read(
    void const* metainfo, size_t len, uint8_t const* ih, shim_hashes_t** out);

/*
 * Hashes a whole piece.  SHIM_OK: it is what it should be; SHIM_INVALID: it is
 * not; SHIM_NOT_READY: its v2 hash is not known; SHIM_ERROR: out of memory.
 * Any thread.
 */
shim_rc_t shim_hashes_check(
    shim_hashes_t const* h, uint32_t piece, void const* buf, uint32_t len);
void shim_hashes_free(shim_hashes_t* h);


/*
 * Gives the torrent its storage; blocks that arrive before are dropped.  Pieces
 * that the storage calls complete are offered to peers.
 */
shim_rc_t shim_attach(shim_t* s, shim_id_t id, void* ctx);

typedef struct
{
    uint32_t piece;
    int32_t deadline_ms;        /* from now; -1: none, priority alone */
    uint8_t priority;           /* 1 (low) to 7, libtorrent's */
} shim_want_t;

/*
 * Replaces the whole list of wanted pieces, most urgent first; pieces not in
 * it are no longer requested.  What was wanted already and stays costs nothing.
 * restart: the reader went elsewhere: outstanding requests of pieces that are
 * no longer wanted are cancelled, so that the first of the new list need not
 * queue behind them.
 */
shim_rc_t shim_want(shim_t* s,
    shim_id_t id,
    shim_want_t const* want,
    uint32_t n,
    int restart);

/*
 * Tells that pieces [first, first + n) are complete by other means than peers:
 * those that are connected are told.
 */
shim_rc_t shim_have(shim_t* s, shim_id_t id, uint32_t first, uint32_t n);

/*
 * Tells that pieces [first, first + n) were evicted: blocks held of an evicted
 * generation are given up, peers are told dont_have (BEP 54 lt_donthave).
 */
shim_rc_t shim_forget(shim_t* s, shim_id_t id, uint32_t first, uint32_t n);


/*
 * Looks in the DHT for a value, BEP 44: one that hashes to target (20 bytes),
 * or the newest of those whose key, with salt behind it, hashes to target.
 *
 * salt: copied; BEP 44 allows 64 bytes
 * timeout_ms: what was found until then counts
 * Returns SHIM_OK and an id, of which SHIM_EVENT_ITEM will tell once, the same
 * id for all who look for the same at a time; SHIM_INVALID if the DHT is off; SHIM_NOT_READY if too many look already.
 */
shim_rc_t shim_item_get(shim_t* s,
    uint8_t const* target,
    void const* salt,
    size_t salt_len,
    uint32_t timeout_ms,
    uint64_t* id);

/*
 * The value, bencoded as it was stored; valid until it is dropped.
 * SHIM_NOT_READY if none was found (yet).
 */
shim_rc_t shim_item(shim_t* s, uint64_t id, void const** buf, size_t* len);

/* To be called once for each shim_item_get(), found or not. */
void shim_item_drop(shim_t* s, uint64_t id);

/*
 * Does what is due.  Returns the milliseconds until it wants to be called
 * again, -1 if nobody looks for anything.
 */
int shim_item_poll(shim_t* s);


typedef enum
{
    SHIM_EVENT_NONE = 0,
    SHIM_EVENT_METADATA,        /* the info is known, shim_info() works */
    SHIM_EVENT_PIECE,           /* piece: verified and published */
    SHIM_EVENT_PIECE_FAILED,    /* piece: bytes were bad, fetched again */
    SHIM_EVENT_PIECE_DROPPED,   /* piece: its blocks were given up */
    SHIM_EVENT_STORAGE_ERROR,   /* piece, error: the storage's errno */
    SHIM_EVENT_TORRENT_ERROR,   /* text; the torrent cannot go on */
    SHIM_EVENT_LISTEN_FAILED,   /* text, level */
    SHIM_EVENT_LISTENING,       /* text, level; see shim_listen_again() */
    SHIM_EVENT_ITEM,            /* id of it; error: 0 found, ENOENT nobody has
                                   it, ETIMEDOUT nobody answered in time */
    SHIM_EVENT_STATS,           /* shim_stat() and shim_dht() have new ones */
    SHIM_EVENT_LOG              /* text; level as below */
} shim_event_type_t;

#define SHIM_LOG_ERR    4       /* values of nginx and syslog */
#define SHIM_LOG_WARN   5
#define SHIM_LOG_NOTICE 6
#define SHIM_LOG_INFO   7

typedef struct
{
    shim_event_type_t type;
    shim_id_t id;               /* 0: of the session */
    uint32_t piece;
    int32_t error;
    uint16_t port;
    uint8_t level;
    char text[256];             /* terminated */
} shim_event_t;

/* Takes the oldest event; 1, or 0 if there is none (the eventfd is reset). */
int shim_next_event(shim_t* s, shim_event_t* ev);


typedef struct
{
    uint32_t size;              /* sizeof(shim_torrent_status_t) */
    uint32_t peers;             /* connected */
    uint32_t seeds;             /* connected, having everything */
    uint32_t known_peers;       /* candidates */
    uint64_t download_rate;     /* bytes per second */
    uint64_t upload_rate;
    uint64_t downloaded;        /* payload bytes of this session */
    uint64_t uploaded;          /* bytes, the plugin's included */
    uint8_t downloading_metadata;
    uint8_t interested_peers;
} shim_torrent_status_t;

typedef struct
{
    char url[256];
    uint32_t tier;
    uint32_t fails;
    int32_t next_announce;      /* seconds from now, -1: never */
    int32_t peers;              /* of the last answer, -1: none yet */
    char error[160];            /* the last one, "" if none */
} shim_tracker_t;

typedef struct
{
    char address[64];           /* "1.2.3.4:5" */
    char client[64];            /* printable */
    uint32_t download_rate;
    uint32_t upload_rate;
    uint32_t have;              /* pieces */
    uint8_t interesting;        /* we want something of it */
    uint8_t choked;             /* it chokes us */
    uint8_t interested;         /* it wants something of us */
    uint8_t choking;            /* we choke it */
    uint8_t utp;
    uint8_t incoming;
    uint8_t source;             /* libtorrent's peer_source_flags */
} shim_peer_t;

/* These ask the network thread and wait for its answer: some 0.1 ms. */
shim_rc_t shim_torrent_status(shim_t* s,
    shim_id_t id,
    shim_torrent_status_t* status);

/* Fill up to max entries; *n is how many there are. */
shim_rc_t shim_trackers(shim_t* s,
    shim_id_t id,
    shim_tracker_t* out,
    uint32_t max,
    uint32_t* n);
shim_rc_t shim_peers(shim_t* s,
    shim_id_t id,
    shim_peer_t* out,
    uint32_t max,
    uint32_t* n);

/*
 * Opens all sockets anew, which events tell, if one of those in listen could not
 * be had, since the port was in use or the address not there, and now it can; or
 * if shim_listen_address() said so.  Returns nonzero if it still cannot: try
 * again after some seconds.
 */
int shim_listen_again(shim_t* s);

/*
 * An address of this machine, without a scope, has come (there) or gone.
 * Returns nonzero if a socket was on it before it went: such a socket is of an
 * interface that may not be there any more, even if one of the same name is.
 * Call shim_listen_again() after some seconds then.
 */
int shim_listen_address(shim_t* s, char const* address, int there);

/*
 * Asks for the counters of the session and the state of the DHT, which are
 * there at the next SHIM_EVENT_STATS.  Does not wait.
 */
shim_rc_t shim_ask_stats(shim_t* s);

typedef struct
{
    char const* name;           /* "net.recv_payload_bytes", static */
    int64_t value;
    uint8_t gauge;              /* 0: it grows for as long as the session is */
} shim_stat_t;

/* One of libtorrent's counters, or SHIM_INVALID if there are not so many. */
shim_rc_t shim_stat(shim_t* s, uint32_t n, shim_stat_t* stat);

#define SHIM_DHT_BUCKETS 160

typedef struct
{
    uint32_t nodes;             /* in use */
    uint32_t replacements;      /* kept for when one of these fails */
} shim_dht_bucket_t;

typedef struct
{
    char address[64];           /* ours, "0.0.0.0:42069" */
    uint8_t id[20];
    uint32_t transactions;      /* questions without an answer yet */
    uint32_t bucket_n;
    shim_dht_bucket_t buckets[SHIM_DHT_BUCKETS]; /* farthest first */
} shim_dht_t;

/* The DHT on one of our addresses, or SHIM_INVALID: not so many, it is off. */
shim_rc_t shim_dht(shim_t* s, uint32_t n, shim_dht_t* dht);

/*
 * The nth address where peers can connect to, "0.0.0.0:42069"; NULL if there
 * are not so many.  Valid until the next call.
 */
char const* shim_listening(shim_t* s, uint32_t n);

/* The port for incoming peers, 0 if none; "libtorrent 2.0.8". */
uint16_t shim_listen_port(shim_t* s);
char const* shim_version(void);

#ifdef __cplusplus
}
#endif

#endif
