/* See dns_message.h. */
#include <string.h>

#include "casement/bytes.h"
#include "dns_message.h"

enum { ID = 0, FLAGS = 2, RCODE = 3, QUESTIONS = 4, ANSWERS = 6 };
#define IS_ANSWER 0x80
#define RCODE_MASK 0x0F
#define SERVER_FAILURE 2
#define RECURSION_AVAILABLE 0x80

/* Where the first question ends; 0: not in the message. Names in questions are never compressed. */
static size_t question_end(const uint8_t *message, size_t length)
{
    size_t at = DNS_HEADER_BYTES;

    while (at < length && message[at]) {
        if (message[at] > 63)
            return 0;
        at += 1U + message[at];
    }
    at += 1 + 4; /* the root, type and class */
    return at <= length ? at : 0;
}

bool dns_is_query(const uint8_t *message, size_t length)
{
    return length >= DNS_HEADER_BYTES && !(message[FLAGS] & IS_ANSWER) && get_be16(message + QUESTIONS) == 1 &&
           question_end(message, length);
}

bool dns_answers(const uint8_t *message, size_t length, const uint8_t *query, size_t query_length)
{
    size_t end = question_end(query, query_length);

    if (length < DNS_HEADER_BYTES || !(message[FLAGS] & IS_ANSWER) || memcmp(message + ID, query + ID, 2) != 0)
        return false;
    /* A server that understood nothing need not repeat the question. */
    if (get_be16(message + QUESTIONS) == 0)
        return message[RCODE] & RCODE_MASK;
    return end && length >= end &&
           !memcmp(message + DNS_HEADER_BYTES, query + DNS_HEADER_BYTES, end - DNS_HEADER_BYTES);
}

size_t dns_make_failure(uint8_t *query, size_t length)
{
    size_t end = question_end(query, length);

    query[FLAGS] |= IS_ANSWER;
    query[RCODE] = RECURSION_AVAILABLE | SERVER_FAILURE;
    memset(query + ANSWERS, 0, 6);
    return end ? end : DNS_HEADER_BYTES;
}
