/* Writes numbered lines of 100 bytes: `lines RATE SECONDS`, RATE a second (0: as fast as they are taken,
   SECONDS thousand of them), then stays, so that what the lines cost can be told from what the end does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LENGTH 100
#define BATCH 500

static char buffer[BATCH * LENGTH];

static void emit(long first, long count) {
    for (long line = 0; line < count; line++) {
        char *at = buffer + line * LENGTH;
        memset(at, 'x', LENGTH - 1);
        at[snprintf(at, LENGTH, "%09ld ", first + line)] = 'x';
        at[LENGTH - 1] = '\n';
    }
    for (long done = 0, size = count * LENGTH; done < size;) {
        ssize_t wrote = write(1, buffer + done, size - done);
        if (wrote < 0) exit(1);
        done += wrote;
    }
}

int main(int argc, char **argv) {
    long rate = argc > 1 ? atol(argv[1]) : 1000, seconds = argc > 2 ? atol(argv[2]) : 10, next = 0;
    if (rate == 0) {
        while (next < seconds * 1000) emit(next, BATCH), next += BATCH;
    } else {
        struct timespec at;
        clock_gettime(CLOCK_MONOTONIC, &at);
        for (long tick = 1; tick <= seconds * 10; tick++) {
            long until = rate * tick / 10;
            while (next < until) {
                long count = until - next < BATCH ? until - next : BATCH;
                emit(next, count), next += count;
            }
            at.tv_nsec += 100000000;
            if (at.tv_nsec >= 1000000000) at.tv_nsec -= 1000000000, at.tv_sec++;
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        }
    }
    for (;;) pause();
}
