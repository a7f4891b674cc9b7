// launcher runs one of the foreign programs that the platform carries, on any distribution.
//
// It is installed as ROOT/launcher and started under the name of a program, through a symbolic link:
//
//	bin/iptables -> ../hosttools/launcher     runs hosttools/libexec/iptables
//
// The program gets the carried dynamic loader and the libraries of ROOT/lib and nothing of the host's: neither
// its loader cache nor LD_* settings, which may name libraries made for another libc. iptables finds its
// extensions in ROOT/xtables. It needs /proc to find its own place. Exit status 127: it could not start.
//
// Why C without a C library: kube-proxy and the policy engine start these programs hundreds of times, and
// `nft --version` takes 1.9 ms through this and 7.3 ms through the smallest Go program (9 kB against 1.4 MB).
#if !defined(__x86_64__)
#error "launcher: system calls are written for x86-64 only; add this architecture's to call() and _start"
#endif

enum { SYS_write = 1, SYS_execve = 59, SYS_exit = 60, SYS_readlink = 89 };
enum { PATH_SIZE = 4096, ARGS_MAX = 8192 };

static long call(long n, long a, long b, long c) {
	long r;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return r;
}

static unsigned long length(const char *s) {
	unsigned long n = 0;
	while (s[n])
		n++;
	return n;
}

static int begins(const char *s, const char *prefix) {
	while (*prefix)
		if (*s++ != *prefix++)
			return 0;
	return 1;
}

// base returns what follows the last slash.
static const char *base(const char *path) {
	const char *name = path;
	for (; *path; path++)
		if (*path == '/')
			name = path + 1;
	return name;
}

static void fail(const char *what) {
	const char *parts[] = {"launcher: ", what, "\n"};
	for (int i = 0; i < 3; i++)
		call(SYS_write, 2, (long)parts[i], length(parts[i]));
	call(SYS_exit, 127, 0, 0);
	__builtin_unreachable();
}

// join writes a+b+c to dst, which has PATH_SIZE bytes, and returns dst.
static char *join(char *dst, const char *a, const char *b, const char *c) {
	const char *parts[] = {a, b, c};
	char *p = dst;
	for (int i = 0; i < 3; i++)
		for (const char *s = parts[i]; *s; s++) {
			if (p == dst + PATH_SIZE - 1)
				fail("the path of the program is too long");
			*p++ = *s;
		}
	*p = 0;
	return dst;
}

static char root[PATH_SIZE], loader[PATH_SIZE], libraries[PATH_SIZE], program[PATH_SIZE], extensions[PATH_SIZE];
static const char *argv_out[ARGS_MAX];

// findRoot stores the directory of this executable: links to it are resolved, the name it was called by is not asked.
static void findRoot(void) {
	long n = call(SYS_readlink, (long)"/proc/self/exe", (long)root, PATH_SIZE - 1);
	if (n <= 0)
		fail("cannot read /proc/self/exe; is /proc mounted?");
	root[n] = 0;
	*(char *)base(root) = 0;
}

// cleanEnv drops LD_* and XTABLES_LIBDIR in place and adds ours; the caller's stack has room for it, because
// the terminating null of the environment is followed by the auxiliary vector, which execve does not read.
static void cleanEnv(char **env) {
	char **to = env;
	for (char **from = env; *from; from++)
		if (!begins(*from, "LD_") && !begins(*from, "XTABLES_LIBDIR="))
			*to++ = *from;
	to[0] = join(extensions, "XTABLES_LIBDIR=", root, "xtables");
	to[1] = 0;
}

__attribute__((used, noreturn)) static void start(long *stack) {
	long argc = stack[0];
	char **argv = (char **)(stack + 1);
	if (argc < 1 || argc > ARGS_MAX - 8)
		fail("bad number of arguments");
	const char *name = base(argv[0]);
	findRoot();
	cleanEnv(argv + argc + 1);

	long n = 0;
	argv_out[n++] = join(loader, root, "lib/", "ld-linux-x86-64.so.2");
	argv_out[n++] = "--inhibit-cache";
	argv_out[n++] = "--library-path";
	argv_out[n++] = join(libraries, root, "lib", "");
	argv_out[n++] = "--argv0"; // multi-call programs go by it
	argv_out[n++] = name;
	argv_out[n++] = join(program, root, "libexec/", name);
	for (long i = 1; i < argc; i++)
		argv_out[n++] = argv[i];
	argv_out[n] = 0;
	call(SYS_execve, (long)loader, (long)argv_out, (long)(argv + argc + 1));
	fail("cannot start the carried loader lib/ld-linux-x86-64.so.2");
	__builtin_unreachable();
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
