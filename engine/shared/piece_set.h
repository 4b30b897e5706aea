
/*
 * A set of pieces: those that something has yet to be said about.
 *
 *      words   1 bit for 64 pieces    [0] [1] [0] ...
 *                                          |
 *      bits    1 bit for a piece           [0100...0]
 *
 * The words make a sparse set of a large torrent quick to empty: a million
 * pieces are 245 of them.  Who adds sets the bit and then the word; who takes
 * clears the word and then the bits: what is added meanwhile is found by the
 * next pieces_take().
 *
 * Any number of threads may add while one takes.
 */

#ifndef _ENGINE_PIECES_H_INCLUDED_
#define _ENGINE_PIECES_H_INCLUDED_


#include <stdint.h>


typedef struct {
    uint64_t   *bits;       /* atomic */
    uint64_t   *words;      /* atomic */
    uint32_t    piece_n;
    uint32_t    word_n;     /* of words */
    uint32_t    next;       /* the word to go on with; the taker's */
} pieces_t;


/*
 * Makes an empty set for pieces [0, piece_n), of piece_n / 8 bytes and a
 * little.  Returns 0, or -1 if out of memory.
 */
int pieces_init(pieces_t *p, uint32_t piece_n);

/* Frees the memory; harmless for one that is all zero. */
void pieces_free(pieces_t *p);

/* Adds a piece, which may be in the set already. */
void pieces_add(pieces_t *p, uint32_t piece);

/*
 * Takes up to max pieces out of the set, in order of number from where the
 * last call ended, in rounds: none waits for ever.  Returns how many.
 */
uint32_t pieces_take(pieces_t *p, uint32_t *out, uint32_t max);

/* Nonzero if nothing is in the set. */
int pieces_empty(const pieces_t *p);


#endif /* _ENGINE_PIECES_H_INCLUDED_ */
