
/*
 * The map: one mapped file per torrent, pieces/<ih>/map, the memory that the
 * engine and all workers share.  It is the truth about what is in the cache;
 * messages on the control socket are only hints.
 *
 *      +----------------------+ 0
 *      | map_header_t         |  geometry, infohashes, state
 *      +----------------------+ files_off
 *      | map_file_t [file_n]  |  torrent order
 *      +----------------------+ sorted_off
 *      | uint32_t [file_n]    |  file numbers by (path bytes, number)
 *      +----------------------+ strings_off
 *      | name, paths          |  raw bytes, not terminated
 *      +----------------------+ states_off (64-byte aligned)
 *      | uint8_t [piece_n]    |  MAP_* bits of each piece
 *      +----------------------+ segments_off (64-byte aligned)
 *      | map_segment_t [..]   |  generation, last read, charged bytes
 *      +----------------------+ map_size = size of the file
 *
 * A segment is pieces [n * pieces_per_segment, ...): what is evicted at once.
 * Where their bytes lie, the payload, is of three layouts, as the flags tell:
 *
 *      segments    pieces/<ih>/<n>.<g>, generation g of segment n, at their
 *                  natural offset from the segment's start
 *      files       files/<ih>/<name>/<path>, the files of the torrent, all of
 *                  them one segment; pads are zeros and lie nowhere (tree.h)
 *      sqlite      rows of the cache's database, the blocks of pieces (rows.h)
 *
 * Rules:
 *  1. The engine alone writes, but for map_segment_t.last_read, which a worker
 *     stores.  All of it is created under a temporary name, its blocks
 *     allocated, and renamed: a map that has its name is whole.
 *  2. MAP_COMPLETE is set after the bytes were written and their hash was
 *     checked; until it is cleared nobody writes to those bytes.
 *  3. Eviction: clear MAP_COMPLETE of the segment's pieces, then raise the
 *     generation, then unlink the file.  Bytes of a generation are never
 *     overwritten, punched or truncated: who has the file open keeps them.
 *     A file whose name has no generation is renamed, out of its folder, and
 *     made anew only after that.  Rows are removed after the generation was
 *     raised, and written to again only after that.
 *  4. A worker loads the generation, sees MAP_COMPLETE, opens the file, loads
 *     the generation again; if it is the same, the descriptor is good for
 *     those pieces from then on (map_extent() and map_still() do the loads).
 *     Of a row it copies the bytes instead, and they are good.
 *  5. A map is replaced by marking it MAP_RETIRED and unlinking it.  Who has it
 *     mapped checks map_usable() for each request.
 *  6. boot_id is the kernel's when the engine last vouched for the states.
 *     map_open() refuses a map of another boot until the engine has seen to
 *     it: unless everything had been brought to disk before (seal.h), bytes
 *     and states may be lost in any mixture, and each piece that was complete
 *     is in doubt then.
 *  7. A piece in doubt (map_in_doubt()) is not complete: it is hashed before
 *     it is served.  It stays in doubt until then, over any number of stops.
 *  8. What never changes is copied when the map is opened: the counts, offsets
 *     and names that a process goes by are its own.  The rest, states, segments
 *     and state, may turn to zeros at any time, by somebody who cuts the file
 *     (guard.h).  A generation is never 0: the map is of no use if that of the
 *     last segment is, which goes with whatever is cut off.  Pieces are written
 *     and vouched for only in a generation that is not 0.
 *  9. digest is of all that never changes: the header before it, and what lies
 *     between the header and the states.  The engine looks at it when it
 *     starts; who opens the map later sees only that nothing in it points out
 *     of the map.
 *
 * A crash leaves at most: a temporary file, partial pieces, a segment of an
 * older generation.  The engine clears them when it starts.
 *
 * Safe in any process and thread; the reading side takes no lock and no system
 * call after map_open().
 */

#ifndef _ENGINE_MAP_H_INCLUDED_
#define _ENGINE_MAP_H_INCLUDED_


#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>


#define MAP_MAGIC         "CNFLMAP\n"
#define MAP_VERSION       2

#define MAP_SEGMENT_SIZE  (4 * 1024 * 1024)
#define MAP_BLOCK         65536     /* bytes of a row, the most */

/* bits of a piece's state */
#define MAP_COMPLETE      0x01  /* verified, in the cache */
#define MAP_PARTIAL       0x02  /* some blocks are there, not verified */
#define MAP_CHECK         0x84  /* all blocks are there, see below */
#define MAP_CHARGED       0x08  /* its space is reserved */
#define MAP_PRIORITY      0x70  /* wish of the readers, see below */

/* values of MAP_CHECK; 0: blocks are missing, or it is complete */
#define MAP_QUEUED        0x80  /* for a hash thread */
#define MAP_HASHING       0x04
#define MAP_MARKING       0x84  /* verified, being written */

/* MAP_QUEUED or MAP_HASHING without MAP_PARTIAL: stored, in doubt */

/* values of MAP_PRIORITY, confluence's; 0: not wanted */
#define MAP_PRIORITY_SHIFT  4

#define MAP_READAHEAD     3     /* in a reader's window */
#define MAP_NOW           5     /* a reader waits for it */

/* values of map_header_t.state */
#define MAP_READY         1
#define MAP_RETIRED       2

/* bits of map_header_t.flags */
#define MAP_HAS_V1        0x01
#define MAP_HAS_V2        0x02
#define MAP_SINGLE_FILE   0x04
#define MAP_IS_PRIVATE    0x08
#define MAP_LAYOUT        0x30  /* of the payload, see below */

/* values of MAP_LAYOUT */
#define MAP_SEGMENTS      0x00
#define MAP_FILES         0x10
#define MAP_SQLITE        0x20

/* bits of map_file_t.flags */
#define MAP_PAD_FILE      0x01
#define MAP_MADE          0x02  /* of the layout files: it was created */

#define MAP_WHOLE         UINT32_MAX    /* "file number" of the whole torrent */
#define MAP_NOWHERE       UINT32_MAX    /* "file number" of zeros */


typedef struct {
    char        magic[8];
    uint32_t    version;
    uint32_t    header_size;
    uint64_t    map_size;

    uint8_t     ih[20];             /* the name: v1, else v2 cut to 20 bytes */
    uint32_t    flags;
    uint8_t     v1[20];
    uint8_t     v2[32];
    uint32_t    piece_length;       /* bytes */

    uint64_t    total_size;         /* bytes of the piece space, with pads */
    uint64_t    whole_size;         /* bytes of the whole torrent as served */
    int64_t     creation_date;      /* seconds since 1970, 0: unknown */
    uint32_t    piece_n;
    uint32_t    segment_n;
    uint32_t    pieces_per_segment;
    uint32_t    file_n;

    uint64_t    files_off;
    uint64_t    sorted_off;
    uint64_t    strings_off;
    uint64_t    strings_len;
    uint64_t    states_off;
    uint64_t    segments_off;
    uint64_t    name_off;           /* from strings_off */
    uint32_t    name_len;

    uint8_t     digest[32];         /* SHA-256, rule 9 */
    uint32_t    state;              /* MAP_READY, MAP_RETIRED; atomic */
    char        boot_id[40];
} map_header_t;


typedef struct {
    uint64_t    offset;             /* in the piece space */
    uint64_t    length;
    uint64_t    whole_offset;       /* in the whole torrent as served */
    uint64_t    path_off;           /* from strings_off */
    uint32_t    path_len;
    uint32_t    flags;              /* map_flags() */
} map_file_t;


typedef struct {
    uint32_t    generation;         /* atomic */
    uint32_t    last_read;          /* seconds since 1970; stored by workers */
    uint64_t    charged;            /* bytes reserved or on disk */
} map_segment_t;


/* A mapped map. */
typedef struct {

    /* copies (rule 8) */

    map_header_t    *header;            /* state, boot_id: as they were */
    map_file_t      *files;             /* MAP_MADE by map_made() */
    uint32_t        *sorted;
    uint8_t         *strings;

    /* in the mapping */

    map_header_t    *shared;            /* state, boot_id */
    uint8_t         *states;
    map_segment_t   *segments;

    size_t           size;
    ino_t            inode;
    struct guard_s  *guard;             /* of the mapping */
} map_t;


/* One run of bytes that lies within one file of the payload. */
typedef struct {
    uint32_t    file;               /* its number: the segment's, or that of
                                       the torrent's file; MAP_NOWHERE */
    off_t       offset;             /* in that file */
    uint64_t    length;             /* bytes, > 0 */
} map_place_t;


/* The same of complete pieces. */
typedef struct {
    uint32_t    segment;
    uint32_t    generation;         /* of the segment */
    uint32_t    file;               /* as map_place_t */
    off_t       offset;
    uint64_t    length;             /* bytes, > 0 */
} map_extent_t;


/*
 * Opens the map of a torrent for reading (and for storing last_read).
 *
 * dir: the cache directory, terminated
 * ih:  the 20 byte name
 * Returns 0, or an errno: ENOENT if there is none, EBADMSG if it is damaged, of
 * another version, retired, or of another boot (rule 6).  Every offset and
 * count in it was checked against its size.  Any process.
 */
int map_open(map_t *map, const char *dir, const uint8_t *ih);

/*
 * The same by the name of a file, whatever its infohash, state and boot: what
 * the engine opens to see to it.
 */
int map_open_file(map_t *map, const char *name);

/* Unmaps; descriptors of segments are the caller's own business. */
void map_close(map_t *map);

/*
 * What of a piece's state is worth telling when it changes: the same value for
 * states that differ in how much a piece is wanted, or in its charge.
 */
uint8_t map_state_key(uint8_t state);

/* Nonzero for the state of a piece that is stored but in doubt (rule 7). */
int map_in_doubt(uint8_t state);

/* The state of a piece; an atomic load. */
uint8_t map_state(const map_t *map, uint32_t piece);

/* The layout of the payload: MAP_SEGMENTS, MAP_FILES, MAP_SQLITE. */
uint32_t map_layout(const map_t *map);

/*
 * Of the layout sqlite: how many rows a piece has.  Those of a torrent have
 * numbers of 32 bits, piece after piece.
 */
uint32_t map_blocks(const map_header_t *header);

/* Nonzero unless the map was retired, or cut, since; no system call. */
int map_usable(const map_t *map);

/*
 * Zero if others do not find this map any more: it was retired, cut, removed or
 * replaced.  dir: as map_open()
 */
int map_is_there(const map_t *map, const char *dir);

/* Says that it is of no use any more (rule 5).  Engine. */
void map_retire(map_t *map);

/*
 * MAP_PAD_FILE and MAP_MADE of a file.  The second may change meanwhile: who
 * relies on it keeps whoever calls map_made() out.
 */
uint32_t map_flags(const map_file_t *file);

/* Sets MAP_MADE of a file, or clears it.  Engine, one thread at a time. */
void map_made(map_t *map, uint32_t n, int made);

/*
 * Finds a file by its display path: exact bytes, the first in torrent order
 * wins.  Returns its number, or -1.
 */
int64_t map_find(const map_t *map, const uint8_t *path, size_t len);

/*
 * Bytes of file n, or of the whole torrent for MAP_WHOLE.
 */
uint64_t map_length(const map_t *map, uint32_t n);

/*
 * Translates an offset within file n (or MAP_WHOLE) to the piece space.
 *
 * offset: below map_length(map, n)
 * run:    set to how many bytes from there on are contiguous in the piece space
 *         (to the end of the file; of the whole torrent: to the next gap)
 */
uint64_t map_translate(const map_t *map, uint32_t n, uint64_t offset,
    uint64_t *run);

/*
 * The file, pads included, that has the byte at an offset of the piece space:
 * below the total size.
 */
uint32_t map_file_at(const map_t *map, uint64_t offset);

/*
 * Where the bytes at an offset of the piece space lie: at most limit bytes
 * (> 0), at most to the end of the file of the payload, and not much more than
 * MAP_SEGMENT_SIZE in any case.
 */
void map_place(const map_t *map, uint64_t offset, uint64_t limit,
    map_place_t *place);

/* The length of that file of the payload, from its first moment on. */
uint64_t map_file_size(const map_t *map, uint32_t file);

/*
 * The longest run of complete pieces at an offset of the piece space, as
 * map_place() tells it.  Sets the segment's last_read to now (seconds since
 * 1970; 0: leaves it).
 *
 * Returns extent->length; 0 if the piece at offset is not complete.  The
 * descriptor rule: after opening the file the caller calls map_extent() again,
 * or map_still(), before it trusts a file it just opened.
 */
uint64_t map_extent(const map_t *map, uint64_t offset, uint64_t limit,
    uint32_t now, map_extent_t *extent);

/*
 * What was complete of the segment is not any more, which its states say: from
 * now on it is of another generation.  Returns the one that it was of.  Engine.
 */
uint32_t map_raise(map_t *map, uint32_t segment);

/* Nonzero if the extent's segment is still of the extent's generation. */
int map_still(const map_t *map, const map_extent_t *extent);

/*
 * Bytes of complete pieces from offset on, at most limit, across segments.
 */
uint64_t map_ready(const map_t *map, uint64_t offset, uint64_t limit);

/*
 * The name of a segment's file below the cache directory:
 * "pieces/<40 hex>/<n>.<generation>", terminated.  size at least
 * MAP_SEGMENT_NAME.  Returns its length.
 */
#define MAP_SEGMENT_NAME  80

size_t map_segment_name(const uint8_t *ih, uint32_t segment,
    uint32_t generation, char *buf, size_t size);

/* Lower-case hex of n bytes, terminated: 2 * n + 1 bytes at dst. */
void map_hex(char *dst, const uint8_t *src, size_t n);

/* The order of paths: memcmp() of the common part, then the shorter first. */
int map_bytes_cmp(const uint8_t *a, size_t a_len, const uint8_t *b,
    size_t b_len);


#endif /* _ENGINE_MAP_H_INCLUDED_ */
