#include "json.h"

#include <stdbool.h>
#include <string.h>

/* Deeper nesting is refused: the reader recurses and a guest's stack is small. */
enum { MAX_DEPTH = 128 };

struct reader {
	char *at;          /* next byte */
	char *end;         /* behind the last byte */
	const char *error; /* what was wrong first; NULL so far */
};

static bool fail(struct reader *r, const char *error)
{
	if (!r->error)
		r->error = error;
	return false;
}

/* The next byte without taking it, or -1 at the end. */
static int peek(const struct reader *r)
{
	return r->at < r->end ? (unsigned char)*r->at : -1;
}

static bool take(struct reader *r, char c)
{
	if (peek(r) != c)
		return false;
	r->at++;
	return true;
}

static void skip_space(struct reader *r)
{
	while (take(r, ' ') || take(r, '\t') || take(r, '\n') || take(r, '\r'))
		;
}

static bool skip_word(struct reader *r, const char *word)
{
	for (; *word; word++)
		if (!take(r, *word))
			return fail(r, "unknown word");
	return true;
}

static bool skip_digits(struct reader *r)
{
	if (peek(r) < '0' || peek(r) > '9')
		return fail(r, "digit missing in a number");
	while (peek(r) >= '0' && peek(r) <= '9')
		r->at++;
	return true;
}

static bool skip_number(struct reader *r)
{
	take(r, '-');
	if (!take(r, '0') && !skip_digits(r))
		return false;
	if (take(r, '.') && !skip_digits(r))
		return false;
	if (take(r, 'e') || take(r, 'E')) {
		if (!take(r, '+'))
			take(r, '-');
		return skip_digits(r);
	}
	return true;
}

static bool read_hex4(struct reader *r, unsigned *unit)
{
	*unit = 0;
	for (int i = 0; i < 4; i++) {
		int c = peek(r);
		unsigned digit;
		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			digit = (unsigned)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			digit = (unsigned)(c - 'A' + 10);
		else
			return fail(r, "\\u needs four hexadecimal digits");
		*unit = *unit << 4 | digit;
		r->at++;
	}
	return true;
}

static char *put_utf8(char *out, unsigned rune)
{
	if (rune < 0x80) {
		*out++ = (char)rune;
		return out;
	}
	if (rune < 0x800) {
		*out++ = (char)(0xC0 | rune >> 6);
	} else {
		if (rune < 0x10000) {
			*out++ = (char)(0xE0 | rune >> 12);
		} else {
			*out++ = (char)(0xF0 | rune >> 18);
			*out++ = (char)(0x80 | (rune >> 12 & 0x3F));
		}
		*out++ = (char)(0x80 | (rune >> 6 & 0x3F));
	}
	*out++ = (char)(0x80 | (rune & 0x3F));
	return out;
}

/* The hexadecimal digits of \uXXXX, and a second such escape where the first is
 * half of a pair. */
static bool read_unicode_escape(struct reader *r, char **out)
{
	unsigned rune, low;
	if (!read_hex4(r, &rune))
		return false;
	if (rune >= 0xDC00 && rune <= 0xDFFF)
		return fail(r, "half of a surrogate pair");
	if (rune >= 0xD800 && rune <= 0xDBFF) {
		if (!take(r, '\\') || !take(r, 'u'))
			return fail(r, "half of a surrogate pair");
		if (!read_hex4(r, &low))
			return false;
		if (low < 0xDC00 || low > 0xDFFF)
			return fail(r, "half of a surrogate pair");
		rune = 0x10000 + ((rune - 0xD800) << 10) + (low - 0xDC00);
	}
	*out = put_utf8(*out, rune);
	return true;
}

/* Reads a string and decodes it where it lies: no escape is shorter than what it
 * stands for, so writing never overtakes reading. */
static bool read_string(struct reader *r, char **value, size_t *value_len)
{
	static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";

	if (!take(r, '"'))
		return fail(r, "string expected");
	char *out = r->at;
	*value = out;
	for (;;) {
		int c = peek(r);
		if (c < 0)
			return fail(r, "string without an end");
		if (c < 0x20)
			return fail(r, "control character in a string");
		r->at++;
		if (c == '"')
			break;
		if (c != '\\') {
			*out++ = (char)c;
			continue;
		}
		if (take(r, 'u')) {
			if (!read_unicode_escape(r, &out))
				return false;
			continue;
		}
		c = peek(r);
		const char *escape = c > 0 ? strchr(escapes, c) : NULL;
		if (!escape)
			return fail(r, "unknown escape in a string");
		*out++ = meanings[escape - escapes];
		r->at++;
	}
	*value_len = (size_t)(out - *value);
	return true;
}

static bool skip_value(struct reader *r, int depth);

/* Behind a member or an element: true when another one follows. */
static bool more(struct reader *r, char close)
{
	skip_space(r);
	if (take(r, close))
		return false;
	if (!take(r, ','))
		return fail(r, "comma or closing bracket expected");
	skip_space(r);
	return true;
}

static bool read_name(struct reader *r, char **name, size_t *len)
{
	if (!read_string(r, name, len))
		return false;
	skip_space(r);
	if (!take(r, ':'))
		return fail(r, "colon expected");
	skip_space(r);
	return true;
}

static bool skip_object(struct reader *r, int depth)
{
	char *name;
	size_t len;
	skip_space(r);
	if (take(r, '}'))
		return true;
	do {
		if (!read_name(r, &name, &len) || !skip_value(r, depth))
			return false;
	} while (more(r, '}'));
	return !r->error;
}

static bool skip_array(struct reader *r, int depth)
{
	skip_space(r);
	if (take(r, ']'))
		return true;
	do {
		if (!skip_value(r, depth))
			return false;
	} while (more(r, ']'));
	return !r->error;
}

static bool skip_value(struct reader *r, int depth)
{
	char *string;
	size_t len;
	if (depth == 0)
		return fail(r, "nested too deeply");
	switch (peek(r)) {
	case '{':
		r->at++;
		return skip_object(r, depth - 1);
	case '[':
		r->at++;
		return skip_array(r, depth - 1);
	case '"':
		return read_string(r, &string, &len);
	case 't':
		return skip_word(r, "true");
	case 'f':
		return skip_word(r, "false");
	case 'n':
		return skip_word(r, "null");
	case -1:
		return fail(r, "value expected, but the text ends");
	default:
		return skip_number(r);
	}
}

const char *json_string_member(char *text, size_t len, const char *name,
                               char **value, size_t *value_len)
{
	struct reader r = {.at = text, .end = text + len};
	bool found = false;

	skip_space(&r);
	if (!take(&r, '{'))
		return "object expected";
	skip_space(&r);
	if (!take(&r, '}')) {
		do {
			char *member;
			size_t member_len;
			if (!read_name(&r, &member, &member_len))
				return r.error;
			if (member_len != strlen(name) || memcmp(member, name, member_len) != 0) {
				if (!skip_value(&r, MAX_DEPTH - 1))
					return r.error;
				continue;
			}
			if (!read_string(&r, value, value_len))
				return r.error;
			found = true;
		} while (more(&r, '}'));
	}
	skip_space(&r);
	if (!r.error && r.at != r.end)
		fail(&r, "something behind the object");
	if (!r.error && !found)
		fail(&r, "member missing");
	return r.error;
}
