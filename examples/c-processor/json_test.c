/* Tests of json.c for the machine at hand:
 *   cc -fsanitize=address,undefined json.c json_test.c -o json_test && ./json_test */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* want NULL: the text is refused. */
static const struct {
	const char *text, *want;
} cases[] = {
	{"{\"message\":\"hello\"}", "hello"},
	{" \t\r\n{ \"message\" : \"hello\" } \n", "hello"},
	{"{\"message\":\"\"}", ""},
	{"{\"a\":1,\"message\":\"last\",\"b\":[]}", "last"},
	{"{\"message\":\"one\",\"message\":\"two\"}", "two"},
	{"{\"m\\u0065ssage\":\"escaped name\"}", "escaped name"},
	{"{\"x\":{\"message\":\"inner\"},\"message\":\"outer\"}", "outer"},
	{"{\"message\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "\"\\/\b\f\n\r\t"},
	{"{\"message\":\"\\u0041\\u00e9\\u20AC\\ud83d\\uDE00\"}", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
	{"{\"message\":\"\xc3\xa9\"}", "\xc3\xa9"},
	{"{\"n\":[0,-1,2.5,1e9,1E-3,-0.5e+2,[],{}],\"l\":[true,false,null],\"message\":\"ok\"}", "ok"},

	{"", NULL},
	{"null", NULL},
	{"[]", NULL},
	{"\"message\"", NULL},
	{"{}", NULL},
	{"{\"massage\":\"x\"}", NULL},
	{"{\"message\":1}", NULL},
	{"{\"message\":null}", NULL},
	{"{\"message\":\"x\"} x", NULL},
	{"{\"message\":\"x\"}{}", NULL},
	{"{\"message\":\"x\",}", NULL},
	{"{,\"message\":\"x\"}", NULL},
	{"{\"message\" \"x\"}", NULL},
	{"{\"message\":\"x\" \"y\":1}", NULL},
	{"{message:\"x\"}", NULL},
	{"{\"message\":\"line\nbreak\"}", NULL},
	{"{\"message\":\"\\x41\"}", NULL},
	{"{\"message\":\"\\u12\"}", NULL},
	{"{\"message\":\"\\u12G4\"}", NULL},
	{"{\"message\":\"\\ud83d\"}", NULL},
	{"{\"message\":\"\\ud83dx\"}", NULL},
	{"{\"message\":\"\\ud83d\\u0041\"}", NULL},
	{"{\"message\":\"\\ude00\"}", NULL},
	{"{\"a\":01,\"message\":\"x\"}", NULL},
	{"{\"a\":-,\"message\":\"x\"}", NULL},
	{"{\"a\":1.,\"message\":\"x\"}", NULL},
	{"{\"a\":.5,\"message\":\"x\"}", NULL},
	{"{\"a\":1e,\"message\":\"x\"}", NULL},
	{"{\"a\":+1,\"message\":\"x\"}", NULL},
	{"{\"a\":nul,\"message\":\"x\"}", NULL},
	{"{\"a\":truer,\"message\":\"x\"}", NULL},
	{"{\"a\":[1,],\"message\":\"x\"}", NULL},
	{"{\"a\":[1 2],\"message\":\"x\"}", NULL},
	{"{\"a\":[1},\"message\":\"x\"}", NULL},
	{"{\"a\":{\"b\"},\"message\":\"x\"}", NULL},
	{"{\"a\":,\"message\":\"x\"}", NULL},
};

static int failures;

/* Runs the reader on a copy that ends where its memory ends, so that the address
 * sanitizer sees any step too far. */
static const char *find(const char *text, size_t len, const char *want)
{
	char *copy = malloc(len), *value = NULL;
	size_t value_len = 0;
	if (len > 0)
		memcpy(copy, text, len);
	const char *error = json_string_member(copy, len, "message", &value, &value_len);
	if (!error != !!want ||
	    (want && (value_len != strlen(want) || memcmp(value, want, value_len) != 0))) {
		fprintf(stderr, "FAIL %.*s\n  got %.*s (%s)\n  want %s\n", (int)(len < 100 ? len : 100), text,
		        (int)value_len, value ? value : "", error ? error : "no error", want ? want : "an error");
		failures++;
	}
	if (!error)
		value[value_len] = '\n'; /* the promised byte behind it */
	free(copy);
	return error;
}

static void test_cases(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *text = cases[i].text, *want = cases[i].want;
		find(text, strlen(text), want);
		if (!want)
			continue;
		/* No beginning of an object is an object. */
		const char *brace = strrchr(text, '}');
		for (size_t len = 0; len <= (size_t)(brace - text); len++)
			find(text, len, NULL);
	}
	find("{\"message\":\"a\0b\"}", 17, NULL);
}

static void test_depth(void)
{
	for (int depth = 1; depth < 100000; depth *= 10) {
		size_t len = 2 * (size_t)depth + 20;
		char *text = malloc(len), *at = text;
		at += sprintf(at, "{\"a\":");
		memset(at, '[', (size_t)depth);
		at += depth;
		memset(at, ']', (size_t)depth);
		at += depth;
		memcpy(at, ",\"message\":\"\"}", 14);
		at += 14;
		find(text, (size_t)(at - text), depth <= 100 ? "" : NULL);
		free(text);
	}
}

int main(void)
{
	test_cases();
	test_depth();
	if (failures)
		fprintf(stderr, "%d failed\n", failures);
	return failures ? 1 : 0;
}
