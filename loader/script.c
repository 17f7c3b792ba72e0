/*
 * script.c - cutting up the first line of a script, with Linux's rules (execve(2),
 * fs/binfmt_script).
 */
#include "loader/script.h"

#include <errno.h>
#include <stdbool.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The end of the line in [p, end), or NULL when the line goes on past what was read. */
static char *line_end(char *p, char *end)
{
	while (p < end && *p != '\n' && *p)
		p++;
	return p < end ? p : NULL;
}

int script_parse(char buf[SCRIPT_HEAD], size_t n, struct script *ret_script)
{
	char *p = buf + 2, *end, *name;
	struct script script = {0};

	if (n < 2 || buf[0] != '#' || buf[1] != '!')
		return -ENOEXEC;
	end = line_end(p, buf + SCRIPT_HEAD);
	if (!end) {
		/* Cut off: the interpreter's name has to be whole, the argument need not be. */
		end = buf + SCRIPT_HEAD - 1;
		while (is_blank(*p))
			p++;
		for (name = p; name < end && !is_blank(*name); name++)
			;
		if (name == end)
			return -ENOEXEC;
	}
	while (end > p && is_blank(end[-1]))
		end--;
	*end = '\0';
	while (is_blank(*p))
		p++;
	if (!*p)
		return -ENOEXEC;
	script.interp = p;
	while (*p && !is_blank(*p))
		p++;
	if (*p) {
		*p++ = '\0';
		while (is_blank(*p))
			p++;
		if (*p)
			script.arg = p;
	}
	*ret_script = script;
	return 0;
}
