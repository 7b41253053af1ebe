/* Version, security type, VNC authentication (see rfb_handshake.h). */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "casement/bytes.h"
#include "rfb_handshake.h"

#define VERSION_BYTES 12
static const char version[] = "RFB 003.008\n";
enum { SECURITY_NONE = 1, SECURITY_VNC = 2 };

void rfb_key_from_password(const char *password, uint8_t key[RFB_KEY])
{
    memset(key, 0, RFB_KEY);
    for (unsigned n = 0; n < RFB_KEY && password[n]; n++)
        for (unsigned bit = 0; bit < 8; bit++)
            if ((unsigned char)password[n] >> bit & 1)
                key[n] |= (uint8_t)(0x80 >> bit);
}

/* Triple DES with one key three times is DES, which libcrypto itself keeps among its legacy algorithms. */
int rfb_encrypt_challenge(const uint8_t key[RFB_KEY], const uint8_t challenge[RFB_CHALLENGE],
                          uint8_t answer[RFB_CHALLENGE])
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    uint8_t keys[3 * RFB_KEY];
    int used = 0;
    bool done = false;

    for (unsigned n = 0; n < 3; n++)
        memcpy(keys + n * RFB_KEY, key, RFB_KEY);
    if (context && EVP_EncryptInit_ex(context, EVP_des_ede3_ecb(), NULL, keys, NULL) == 1 &&
        EVP_CIPHER_CTX_set_padding(context, 0) == 1)
        done = EVP_EncryptUpdate(context, answer, &used, challenge, RFB_CHALLENGE) == 1 && used == RFB_CHALLENGE;
    EVP_CIPHER_CTX_free(context);
    OPENSSL_cleanse(keys, sizeof keys);
    return done ? 0 : -EIO;
}

/* All of it or nothing: these few bytes fit into any socket whose peer reads. */
static bool put(const struct rfb_handshake *handshake, const void *data, size_t size)
{
    return send(handshake->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size;
}

static bool put_word(const struct rfb_handshake *handshake, uint32_t word)
{
    uint8_t bytes[4];

    put_be32(bytes, word);
    return put(handshake, bytes, sizeof bytes);
}

enum rfb_handshake_result rfb_handshake_begin(struct rfb_handshake *handshake, int fd, const uint8_t *key)
{
    *handshake = (struct rfb_handshake){.fd = fd, .key = key, .step = RFB_VERSION};
    return put(handshake, version, VERSION_BYTES) ? RFB_HANDSHAKE_MORE : RFB_HANDSHAKE_FAILED;
}

static enum rfb_handshake_result put_challenge(struct rfb_handshake *handshake)
{
    handshake->step = RFB_ANSWER;
    if (getrandom(handshake->challenge, RFB_CHALLENGE, 0) != RFB_CHALLENGE ||
        !put(handshake, handshake->challenge, RFB_CHALLENGE))
        return RFB_HANDSHAKE_FAILED;
    return RFB_HANDSHAKE_MORE;
}

static enum rfb_handshake_result take_version(struct rfb_handshake *handshake)
{
    const uint8_t type = handshake->key ? SECURITY_VNC : SECURITY_NONE, types[] = {1, type};
    unsigned minor = 0;

    if (memcmp(handshake->received, "RFB 003.", 8) != 0 || handshake->received[11] != '\n')
        return RFB_HANDSHAKE_FAILED;
    for (unsigned n = 8; n < 11; n++) {
        if (handshake->received[n] < '0' || handshake->received[n] > '9')
            return RFB_HANDSHAKE_FAILED;
        minor = 10 * minor + (unsigned)(handshake->received[n] - '0');
    }
    handshake->minor = minor >= 8 ? 8 : minor == 7 ? 7 : 3;
    if (handshake->minor > 3) {
        handshake->step = RFB_SECURITY_TYPE;
        return put(handshake, types, sizeof types) ? RFB_HANDSHAKE_MORE : RFB_HANDSHAKE_FAILED;
    }
    if (!put_word(handshake, type))
        return RFB_HANDSHAKE_FAILED;
    return handshake->key ? put_challenge(handshake) : RFB_HANDSHAKE_LET_IN;
}

static enum rfb_handshake_result take_security_type(struct rfb_handshake *handshake)
{
    if (handshake->received[0] != (handshake->key ? SECURITY_VNC : SECURITY_NONE))
        return RFB_HANDSHAKE_FAILED;
    return handshake->key ? put_challenge(handshake) : rfb_handshake_finish(handshake, NULL);
}

enum rfb_handshake_result rfb_handshake_continue(struct rfb_handshake *handshake)
{
    static const unsigned needs[] = {
        [RFB_VERSION] = VERSION_BYTES, [RFB_SECURITY_TYPE] = 1, [RFB_ANSWER] = RFB_CHALLENGE};
    enum rfb_handshake_result result = RFB_HANDSHAKE_MORE;

    while (result == RFB_HANDSHAKE_MORE) { /* each round takes bytes, and there are three steps */
        unsigned need = needs[handshake->step];
        ssize_t got = recv(handshake->fd, handshake->received + handshake->have, need - handshake->have, MSG_DONTWAIT);

        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return RFB_HANDSHAKE_MORE;
        if (got <= 0)
            return RFB_HANDSHAKE_FAILED;
        handshake->have += (unsigned)got;
        if (handshake->have < need)
            continue;
        handshake->have = 0;
        result = handshake->step == RFB_VERSION         ? take_version(handshake)
                 : handshake->step == RFB_SECURITY_TYPE ? take_security_type(handshake)
                                                        : RFB_HANDSHAKE_ANSWERED;
    }
    return result;
}

bool rfb_handshake_judge(const struct rfb_handshake *handshake)
{
    uint8_t answer[RFB_CHALLENGE];

    return rfb_encrypt_challenge(handshake->key, handshake->challenge, answer) == 0 &&
           CRYPTO_memcmp(answer, handshake->received, RFB_CHALLENGE) == 0;
}

/* The result, and from 3.8 on the reason. Before 3.8 there is none without authentication. */
enum rfb_handshake_result rfb_handshake_finish(struct rfb_handshake *handshake, const char *refused)
{
    if (!refused && !handshake->key && handshake->minor < 8)
        return RFB_HANDSHAKE_LET_IN;
    if (!put_word(handshake, refused ? 1 : 0))
        return RFB_HANDSHAKE_FAILED;
    if (!refused)
        return RFB_HANDSHAKE_LET_IN;
    if (handshake->minor >= 8 && put_word(handshake, (uint32_t)strlen(refused)))
        put(handshake, refused, strlen(refused));
    return RFB_HANDSHAKE_FAILED;
}
