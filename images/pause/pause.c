// pause holds a pod's namespaces. As their first process it adopts what the pod's containers leave behind and reaps
// it, and it ends with status 0 on SIGTERM or SIGINT.
//
// It waits for signals that it keeps blocked instead of handling them: the kernel drops unhandled signals to a
// namespace's first process, but queues blocked ones.
//
// C without a C library, since every pod on every node runs one: 9 kB on disk and 16 kB of memory.
#if !defined(__x86_64__)
#error "pause: system calls are written for x86-64 only; add this architecture's to call() and _start"
#endif

enum { SYS_write = 1, SYS_sigprocmask = 14, SYS_exit = 60, SYS_wait4 = 61, SYS_sigtimedwait = 128 };
enum { SIG_SETMASK = 2, SIGINT = 2, SIGTERM = 15, SIGCHLD = 17, WNOHANG = 1 };

// Of the kernel's idea of a signal set: bit n-1 is signal n.
enum { SIGNAL_SET_SIZE = 8 };
static const unsigned long waited = 1UL << (SIGINT - 1) | 1UL << (SIGTERM - 1) | 1UL << (SIGCHLD - 1);

static long call(long n, long a, long b, long c, long d) {
	long r;
	register long r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
	return r;
}

static void say(const char *s, unsigned long n) {
	call(SYS_write, 2, (long)s, (long)n, 0);
}

static void reap(void) {
	while (call(SYS_wait4, -1, 0, WNOHANG, 0) > 0)
		;
}

__attribute__((used, noreturn)) static void start(long *stack) {
	static const char version[] = "pause " VERSION "\n";
	char **argv = (char **)(stack + 1);
	if (stack[0] > 1 && argv[1][0] == '-' && argv[1][1] == 'v') {
		say(version, sizeof version - 1);
		call(SYS_exit, 0, 0, 0, 0);
	}
	call(SYS_sigprocmask, SIG_SETMASK, (long)&waited, 0, SIGNAL_SET_SIZE);
	for (;;) {
		reap();
		long got = call(SYS_sigtimedwait, (long)&waited, 0, 0, SIGNAL_SET_SIZE);
		if (got == SIGINT || got == SIGTERM)
			call(SYS_exit, 0, 0, 0, 0);
	}
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
