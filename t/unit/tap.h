
/*
 * Test Anything Protocol, for the C tests.
 */

#ifndef _T_UNIT_TAP_H_INCLUDED_
#define _T_UNIT_TAP_H_INCLUDED_


#include <stdio.h>


static int  tap_n;


static inline int
ok(int pass, const char *name)
{
    printf("%sok %d - %s\n", pass ? "" : "not ", ++tap_n, name);

    return pass;
}


static inline int
done_testing(void)
{
    printf("1..%d\n", tap_n);

    return 0;
}


#endif /* _T_UNIT_TAP_H_INCLUDED_ */
