/* Start idle processes, each with connections to itself on an address of its own; end with the first process.
 *
 * crowd FIRST END EACH: processes FIRST to END-1; a line "ready" once all connections stand. Then it pauses for ever:
 * its children are the host's processes. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int fail(const char *what) {
    perror(what);
    _exit(1);
}

static void connect_all(int number, int each) {
    struct sockaddr_in here = {.sin_family = AF_INET}, there;
    socklen_t size = sizeof there;
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    here.sin_addr.s_addr = htonl(0x7f010000 + number);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, each)) fail("listen");
    getsockname(listener, (struct sockaddr *)&there, &size);
    for (int done = 0; done < each; done++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(client, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(client, (struct sockaddr *)&here, sizeof here)) fail("bind");
        if (connect(client, (struct sockaddr *)&there, size)) fail("connect");
        if (accept(listener, NULL, NULL) < 0) fail("accept");
    }
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    int first = atoi(argv[1]), end = atoi(argv[2]), each = atoi(argv[3]), ends[2];
    char byte;
    if (pipe(ends)) fail("pipe");
    for (int number = first; number < end; number++) {
        pid_t pid = fork();
        if (pid < 0) fail("fork");
        if (pid == 0) {
            setpgid(0, 0); /* as services are: in groups of their own */
            close(ends[0]);
            int writer = dup2(ends[1], each * 2 + 10);
            close(ends[1]);
            connect_all(number, each);
            if (write(writer, "+", 1) != 1) fail("write");
            close(writer);
            for (;;) pause();
        }
    }
    close(ends[1]);
    for (int number = first; number < end; number++)
        if (read(ends[0], &byte, 1) != 1) fail("a process of the host failed");
    puts("ready");
    fflush(stdout);
    for (;;) pause();
}
