
/*
 * Runs of complete pieces, against a count of one piece at a time: wherever a
 * run begins and ends, and wherever the states lie.
 */

#include <stdlib.h>
#include <string.h>

#include "engine/shared/map.h"
#include "tap.h"


#define PIECE   10
#define PIECES  40


static unsigned test_runs(map_t *map, uint8_t other);
static uint64_t count(const map_t *map, uint64_t offset, uint64_t limit);


int
main(void)
{
    map_t         map;
    unsigned      i, wrong[2];
    uint8_t       states[PIECES + 16];
    map_header_t  header;

    memset(&map, 0, sizeof(map_t));
    memset(&header, 0, sizeof(map_header_t));

    map.header = &header;
    header.piece_length = PIECE;
    header.piece_n = PIECES;
    header.total_size = PIECES * PIECE - 3;
    header.pieces_per_segment = PIECES;

    wrong[0] = 0;
    wrong[1] = 0;

    for (i = 0; i < 8; i++) {
        memset(states, MAP_COMPLETE, sizeof(states));
        map.states = &states[i];

        wrong[0] += test_runs(&map, 0);
        wrong[1] += test_runs(&map, (uint8_t) ~MAP_COMPLETE);
    }

    ok(wrong[0] == 0, "runs to a piece that is not there");
    ok(wrong[1] == 0, "runs to a piece in any other state");

    return done_testing();
}


/* Returns how many are wrong, of all runs with a piece of another state. */

static unsigned
test_runs(map_t *map, uint8_t other)
{
    unsigned  first, hole, last, wrong;
    uint64_t  offset, limit;

    wrong = 0;

    for (hole = 0; hole <= PIECES; hole++) {

        /* beyond the last piece: what lies there is not looked at */

        map->states[hole] = other;

        for (first = 0; first < PIECES; first++) {
            for (last = first; last < PIECES; last++) {
                offset = first * PIECE + last % PIECE;
                limit = (last - first + 1) * PIECE;

                wrong += map_ready(map, offset, limit)
                         != count(map, offset, limit);
            }
        }

        /* neighbours are in all kinds of states, and complete */

        map->states[hole] = MAP_COMPLETE | (hole % 2 ? MAP_CHARGED : 0);
    }

    return wrong;
}


static uint64_t
count(const map_t *map, uint64_t offset, uint64_t limit)
{
    uint64_t  n;

    n = 0;

    while (n < limit
           && offset + n < map->header->total_size
           && (map->states[(offset + n) / PIECE] & MAP_COMPLETE))
    {
        n++;
    }

    return n;
}
