/* A small JSON reader for one question: which string does an object hold under
 * a name? It checks the whole text against RFC 8259, but takes bytes from 0x80
 * on as they come, without checking that they are UTF-8. */
#ifndef JSON_H
#define JSON_H

#include <stddef.h>

/* Finds the string member `name` of the object in text[0..len). On success it
 * returns NULL, and *value and *value_len tell where the decoded string lies:
 * inside text, which is overwritten by decoding, with at least one more byte of
 * text behind it. Otherwise it returns what is wrong. A name that comes twice
 * has its last value. */
const char *json_string_member(char *text, size_t len, const char *name,
                               char **value, size_t *value_len);

#endif
