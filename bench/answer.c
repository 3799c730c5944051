/* Answers every HTTP request on port 80 with "ok"; its argument tells whose it is. */
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static const char TEXT[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

static void leave(int signal) { _exit(0); }

int main(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(80)};
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    signal(SIGTERM, leave);
    signal(SIGPIPE, SIG_IGN);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 128)) return 1;
    for (;;) {
        char head[4096];
        int client = accept(listener, 0, 0);
        if (client < 0) continue;
        struct pollfd readable = {.fd = client, .events = POLLIN};
        /* Who says nothing for a second does not keep others waiting. */
        if (poll(&readable, 1, 1000) > 0 && read(client, head, sizeof head) > 0) (void)!write(client, TEXT, sizeof TEXT - 1);
        close(client);
    }
}
