
/*
 * The kernel's boot id: tells whether bytes written earlier can have been lost
 * in a power cut.
 */

#ifndef _ENGINE_BOOT_H_INCLUDED_
#define _ENGINE_BOOT_H_INCLUDED_


#define BOOT_ID_LEN  36


/* 36 characters, terminated; "" if the kernel does not tell.  Any thread. */
const char *boot_id(void);


#endif /* _ENGINE_BOOT_H_INCLUDED_ */
