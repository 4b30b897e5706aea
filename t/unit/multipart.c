
/*
 * Forms, cut at every place there is to cut them.
 */

#include <stdlib.h>
#include <string.h>

#include "engine/parse/multipart.h"
#include "tap.h"


#define B     "--bound\r\n"
#define END   "--bound--\r\n"
#define CD    "Content-Disposition: form-data; name="


typedef struct {
    const char  *what;
    const char  *body;
    const char  *seen;      /* "[name|filename]data" for each part */
} form_t;


static int parse(const char *type, const uint8_t *body, size_t len,
    size_t step, char *out, size_t size);
static void test_forms(void);
static void test_types(void);
static void test_long(void);


static const char  type[] = "multipart/form-data; boundary=bound";

static const form_t  forms[] = {
    { "nothing", "--bound--", "" },
    { "a field", B CD "\"a\"\r\n\r\nvalue\r\n" END, "[a|]value" },
    { "two fields", B CD "a\r\n\r\n1\r\n" B CD "b\r\n\r\n2\r\n" END,
      "[a|]1[b|]2" },
    { "preamble and epilogue",
      "hello\r\n--boundary\r\n--bon\r\n" B CD "a\r\n\r\n1\r\n" END "more\r\n" B,
      "[a|]1" },
    { "empty values", B CD "a\r\n\r\n\r\n" B CD "b\r\n\r\n" END, "[a|][b|]" },
    { "line ends", B CD "a\r\n\r\n\r\n\r\n\r\r\n-\r\n--\r\n--b\r\n" END,
      "[a|]\r\n\r\n\r\r\n-\r\n--\r\n--b" },
    { "longer boundary", B CD "a\r\n\r\n--boundary\r\n--bound1\r\n" END,
      "[a|]--boundary\r\n--bound1" },
    { "white space", "--bound \t\r\n" CD "a\r\n\r\n1\r\n--bound  \r\n" CD
      "b\r\n\r\n2\r\n" END, "[a|]1[b|]2" },
    { "a file", B CD "\"f\"; filename=\"d/a b.txt\"\r\nContent-Type: x/y\r\n"
      "\r\nx\r\n" END, "[f|d/a b.txt]x" },
    { "quotes", B CD "f; filename=\"a\\\"b\\\\c\"\r\n\r\n\r\n" END,
      "[f|a\"b\\c]" },
    { "backslashes", B CD "f; filename=\"C:\\dir\\a\"\r\n\r\n\r\n" END,
      "[f|C:\\dir\\a]" },
    { "percent", B CD "f; filename=\"a%22b\"\r\n\r\n\r\n" END, "[f|a%22b]" },
    { "encoded", B CD "f; filename=\"x\"; filename*=UTF-8''%c3%A4%2f1\r\n\r\n"
      "\r\n" END, "[f|\xc3\xa4/1]" },
    { "other charset", B CD "f; filename*=koi8-r''%c3; filename=x\r\n\r\n\r\n"
      END, "[f|x]" },
    { "in pieces", B CD "f; filename*0*=utf-8''%41; filename*1=\"b;\"; "
      "filename*2*=%43\r\n\r\n\r\n" END, "[f|Ab;C]" },
    { "folded", B "Content-Disposition:\r\n form-data;\r\n\tname=\"a\"\r\n\r\n"
      "1\r\n" END, "[a|]1" },
    { "other case", B "X: y\r\ncontent-disposition: Form-Data; NAME=a\r\n\r\n"
      "1\r\n" END, "[a|]1" },
    { "no disposition", B "\r\n1\r\n" END, "[|]1" },
    { "attachment", B "Content-Disposition: attachment; name=a\r\n\r\n1\r\n"
      END, "[|]1" },
    { "bare LF", B CD "a\n\n1\r\n" END, "!" },
    { "unclosed quote", B CD "\"a\r\n\r\n1\r\n" END, "!" },
    { "no colon before", B CD "a b\r\n\r\n1\r\n" END, "!" },
    { "bad percent", B CD "f; filename*=utf-8''%g0\r\n\r\n1\r\n" END, "!" },
    { "bad end", B CD "a\r\n\r\n1\r\n--bound-x", "[a|]1!" },
    { "cut in data", B CD "a\r\n\r\n1\r\n--bou", "[a|]1?" },
    { "cut in a header", B CD, "?" },
    { "nothing at all", "", "?" },
    { NULL, NULL, NULL }
};


int
main(void)
{
    test_forms();
    test_types();
    test_long();

    return done_testing();
}


/*
 * What is seen, "!" for an error, "?" for no end.  step bytes at a time.
 */
static int
parse(const char *content_type, const uint8_t *body, size_t len, size_t step,
    char *out, size_t size)
{
    int                 rc;
    size_t              n, i;
    uint8_t            *chunk;
    multipart_t        *m;
    const uint8_t      *p, *last;
    multipart_event_e   event;

    m = malloc(sizeof(multipart_t));
    rc = multipart_init(m, (const uint8_t *) content_type,
                        strlen(content_type));
    n = 0;

    for (i = 0; rc == 0 && i < len; i += step) {

        /* memory of its own, so that a look beyond it is seen */

        step = (len - i < step) ? len - i : step;
        chunk = malloc(step);
        memcpy(chunk, body + i, step);

        p = chunk;
        last = chunk + step;

        while ((event = multipart_next(m, &p, last)) != MULTIPART_MORE) {

            if (event == MULTIPART_PART) {
                n += snprintf(out + n, size - n, "[%.*s|%.*s]",
                              (int) m->name_len, (char *) m->name,
                              (int) m->filename_len, (char *) m->filename);
            }

            if (event == MULTIPART_DATA) {
                n += snprintf(out + n, size - n, "%.*s", (int) m->data_len,
                              (char *) m->data);
            }

            if (event == MULTIPART_ERROR) {
                n += snprintf(out + n, size - n, "!");
                free(chunk);
                goto done;
            }
        }

        free(chunk);
    }

    if (rc == 0 && !multipart_ended(m)) {
        n += snprintf(out + n, size - n, "?");
    }

done:

    out[n] = '\0';
    free(m);

    return rc;
}


static void
test_forms(void)
{
    int            good;
    char           out[1024];
    size_t         step, len;
    const form_t  *f;

    for (f = forms; f->what != NULL; f++) {
        len = strlen(f->body);
        good = 1;

        for (step = 1; step <= len + 1; step++) {
            (void) parse(type, (const uint8_t *) f->body, len, step, out,
                         sizeof(out));

            if (strcmp(out, f->seen) != 0) {
                printf("# step %zu: \"%s\"\n", step, out);
                good = 0;
                break;
            }
        }

        ok(good, f->what);
    }
}


static void
test_types(void)
{
    char  out[64];

    ok(parse("multipart/form-data; boundary=\"bound\"",
             (const uint8_t *) "--bound--", 9, 3, out, sizeof(out))
       == 0 && out[0] == '\0', "boundary in quotes");
    ok(parse("Multipart/Form-Data;charset=x ; Boundary=bound ;",
             (const uint8_t *) "--bound--", 9, 3, out, sizeof(out))
       == 0 && out[0] == '\0', "type of another spelling");
    ok(parse("multipart/mixed; boundary=bound", NULL, 0, 1, out, sizeof(out))
       == -1, "another type");
    ok(parse("multipart/form-dataset; boundary=bound", NULL, 0, 1, out,
             sizeof(out))
       == -1, "a longer type");
    ok(parse("multipart/form-data", NULL, 0, 1, out, sizeof(out)) == -2,
       "no boundary");
    ok(parse("multipart/form-data; boundary=\"\"", NULL, 0, 1, out,
             sizeof(out))
       == -2, "an empty boundary");
}


static void
test_long(void)
{
    char     *out;
    size_t    n;
    uint8_t  *body;

    body = malloc(100000);
    out = malloc(200000);

    n = sprintf((char *) body, B CD "a\r\nX: ");
    memset(body + n, 'x', 20000);
    memcpy(body + n + 20000, "\r\n\r\n", 4);

    (void) parse(type, body, n + 20004, 1000, out, 200000);
    ok(strcmp(out, "!") == 0, "a long header is refused");

    n = sprintf((char *) body, B CD "a; filename=\"");
    memset(body + n, 'x', 5000);
    n += 5000;
    n += sprintf((char *) body + n, "\"\r\n\r\n");

    (void) parse(type, body, n, 1000, out, 200000);
    ok(strcmp(out, "!") == 0, "a long file name is refused");

    free(body);
    free(out);
}
