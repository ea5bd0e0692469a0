/* Start a command with an environment that no shell can make: `launch FILE COMMAND [ARG...]`.
   FILE holds the entries, each with a NUL behind it; what is not of the form NAME=VALUE is passed on as well. */

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static char body[1 << 20], *environment[4096];
    int file = argc > 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1, count = 0;
    ssize_t length = file < 0 ? -1 : read(file, body, sizeof body);

    for (char *entry = body; entry < body + length; entry += strlen(entry) + 1)
        environment[count++] = entry;
    if (length >= 0)
        execve(argv[2], argv + 2, environment);
    return 255;
}
