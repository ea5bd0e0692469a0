/* Print all that a process inherits, as JSON, and alter nothing of it: `state FILE [ARG...]`.
   Bytes are written in hexadecimal. In C, for every other runtime changes signals, locale or descriptors as it starts. */

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sched.h>
#include <unistd.h>

extern char **environ;
static FILE *out;

static void hex(const char *bytes, size_t length)
{
    putc('"', out);
    for (size_t i = 0; i < length; i++)
        fprintf(out, "%02x", (unsigned char)bytes[i]);
    putc('"', out);
}

static void list(const char *name, char **words)
{
    fprintf(out, "\"%s\": [", name);
    for (char **word = words; *word; word++) {
        if (word != words)
            fputs(", ", out);
        hex(*word, strlen(*word));
    }
    fputs("],\n", out);
}

static void link_of(const char *name, const char *path)
{
    char target[PATH_MAX];
    ssize_t length = readlink(path, target, sizeof target);
    fprintf(out, "\"%s\": ", name);
    hex(target, length < 0 ? 0 : (size_t)length);
    fputs(",\n", out);
}

/* Some lines of /proc/self/status: those that exec and fork pass on. */
static void status(void)
{
    static const char *const wanted[] = {"SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd", "Umask", "Uid", "Gid",
        "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Threads",
        "Cpus_allowed_list"};
    char line[4096];
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file)) {
        char *value = strchr(line, ':');
        *value++ = 0;
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
            if (strcmp(line, wanted[i]) == 0) {
                value[strcspn(value, "\n")] = 0;
                for (char *tab = value; (tab = strchr(tab, '\t'));)
                    *tab = ' ';
                fprintf(out, "\"%s\": \"%s\",\n", line, value + strspn(value, " "));
            }
    }
    if (file)
        fclose(file);
}

int main(int argc, char **argv)
{
    static char body[1 << 22];
    static struct { int number, flags, mode; off_t offset; } descriptors[4096];
    int count = 0;

    for (int number = 0; number < 4096; number++) {
        int flags = fcntl(number, F_GETFD);
        if (flags >= 0) {
            descriptors[count].number = number;
            descriptors[count].flags = flags;
            descriptors[count].mode = fcntl(number, F_GETFL);
            descriptors[count++].offset = lseek(number, 0, SEEK_CUR);
        }
    }
    if (argc < 2 || !(out = fopen(argv[1], "we")))
        return 1;
    fputs("{\n", out);
    list("argv", argv);
    list("environ", environ);
    fprintf(out, "\"execfn\": ");
    hex((const char *)getauxval(AT_EXECFN), strlen((const char *)getauxval(AT_EXECFN)));
    fputs(",\n", out);
    FILE *file = fopen("/proc/self/environ", "re");
    size_t length = file ? fread(body, 1, sizeof body, file) : 0;
    fputs("\"proc environ\": ", out);
    hex(body, length);
    fputs(",\n", out);
    link_of("cwd", "/proc/self/cwd");
    link_of("exe", "/proc/self/exe");
    link_of("root", "/proc/self/root");
    status();
    char comm[16] = "";
    int death = 0, reaper = 0;
    prctl(PR_GET_NAME, comm);
    prctl(PR_GET_PDEATHSIG, &death);
    prctl(PR_GET_CHILD_SUBREAPER, &reaper);
    fprintf(out, "\"comm\": \"%s\", \"death signal\": %d, \"subreaper\": %d, \"dumpable\": %d, \"slack\": %d,\n", comm,
        death, reaper, prctl(PR_GET_DUMPABLE), prctl(PR_GET_TIMERSLACK));
    fprintf(out, "\"pid\": %d, \"ppid\": %d, \"pgid\": %d, \"sid\": %d,\n", getpid(), getppid(), getpgrp(), getsid(0));
    fprintf(out, "\"nice\": %d, \"policy\": %d, \"personality\": %d,\n", getpriority(PRIO_PROCESS, 0),
        sched_getscheduler(0), personality(0xffffffff));
    fputs("\"timers\": [", out);
    for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
        struct itimerval timer;
        getitimer(which, &timer);
        fprintf(out, "%s%d", which ? ", " : "", timer.it_value.tv_sec || timer.it_value.tv_usec);
    }
    fputs("],\n\"limits\": [", out);
    for (int which = 0; which < RLIM_NLIMITS; which++) {
        struct rlimit limit;
        getrlimit(which, &limit);
        fprintf(out, "%s[%llu, %llu]", which ? ", " : "", (unsigned long long)limit.rlim_cur,
            (unsigned long long)limit.rlim_max);
    }
    fputs("],\n\"descriptors\": {", out);
    for (int i = 0; i < count; i++) {
        char path[64], target[PATH_MAX];
        snprintf(path, sizeof path, "/proc/self/fd/%d", descriptors[i].number);
        ssize_t size = readlink(path, target, sizeof target - 1);
        target[size < 0 ? 0 : size] = 0;
        fprintf(out, "%s\"%d\": [\"%s\", %d, %d, %lld]", i ? ",\n" : "\n", descriptors[i].number, target,
            descriptors[i].flags, descriptors[i].mode, (long long)descriptors[i].offset);
    }
    fputs("}\n}\n", out);
    return fclose(out) != 0;
}
