
#include "engine/shared/piece_set.h"

#include <stdlib.h>
#include <string.h>


#define PIECES_BITS  64         /* of a word */


static uint32_t pieces_take_word(pieces_t *p, uint32_t i, uint32_t *out,
    uint32_t max);


int
pieces_init(pieces_t *p, uint32_t piece_n)
{
    uint32_t  n;

    memset(p, 0, sizeof(pieces_t));

    n = piece_n / PIECES_BITS + 1;

    p->piece_n = piece_n;
    p->word_n = n / PIECES_BITS + 1;

    p->bits = calloc(n, sizeof(uint64_t));
    p->words = calloc(p->word_n, sizeof(uint64_t));

    if (p->bits == NULL || p->words == NULL) {
        pieces_free(p);
        return -1;
    }

    return 0;
}


void
pieces_free(pieces_t *p)
{
    free(p->bits);
    free(p->words);

    memset(p, 0, sizeof(pieces_t));
}


void
pieces_add(pieces_t *p, uint32_t piece)
{
    uint32_t  n;

    if (piece >= p->piece_n) {
        return;
    }

    n = piece / PIECES_BITS;

    __atomic_fetch_or(&p->bits[n], (uint64_t) 1 << piece % PIECES_BITS,
                      __ATOMIC_SEQ_CST);
    __atomic_fetch_or(&p->words[n / PIECES_BITS],
                      (uint64_t) 1 << n % PIECES_BITS, __ATOMIC_SEQ_CST);
}


uint32_t
pieces_take(pieces_t *p, uint32_t *out, uint32_t max)
{
    uint32_t  i, k, n;

    n = 0;

    /* the first word twice: the round may have begun in its middle */

    for (k = 0; k <= p->word_n && n < max; k++) {
        i = p->next;
        n += pieces_take_word(p, i, out + n, max - n);

        if (n < max) {
            p->next = (i + 1) % p->word_n;
        }
    }

    return n;
}


static uint32_t
pieces_take_word(pieces_t *p, uint32_t i, uint32_t *out, uint32_t max)
{
    uint32_t  n, k;
    uint64_t  word, bits;

    if (__atomic_load_n(&p->words[i], __ATOMIC_RELAXED) == 0) {
        return 0;
    }

    n = 0;
    word = __atomic_exchange_n(&p->words[i], 0, __ATOMIC_SEQ_CST);

    for ( /* void */ ; word != 0; word &= word - 1) {
        k = i * PIECES_BITS + __builtin_ctzll(word);
        bits = __atomic_exchange_n(&p->bits[k], 0, __ATOMIC_SEQ_CST);

        for ( /* void */ ; bits != 0; bits &= bits - 1) {

            if (n == max) {
                __atomic_fetch_or(&p->bits[k], bits, __ATOMIC_SEQ_CST);
                __atomic_fetch_or(&p->words[i], word, __ATOMIC_SEQ_CST);
                return n;
            }

            out[n++] = k * PIECES_BITS + __builtin_ctzll(bits);
        }
    }

    return n;
}


int
pieces_empty(const pieces_t *p)
{
    uint32_t  i;

    for (i = 0; i < p->word_n; i++) {
        if (__atomic_load_n(&p->words[i], __ATOMIC_RELAXED) != 0) {
            return 0;
        }
    }

    return 1;
}
