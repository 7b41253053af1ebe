/*
 * An 82574L Gigabit Ethernet controller (Intel 82574 GbE Controller Family Datasheet, 3.4; platform contract 6.5): the
 * network card that Windows, Linux and BSD drive with what is on their media.
 *
 * Left out because drivers do without: wake-up, manageability, the flash BAR, time stamps, interrupt moderation (an
 * interrupt ends a batch, and is never put off), the second receive queue and packet-split descriptors.
 */
#ifndef CASEMENT_E1000E_H
#define CASEMENT_E1000E_H

#include "casement/board.h"
#include "casement/net.h"

/* Adds itself to the board. 0, or -errno with a text. */
int e1000e_create(struct board *board, const struct net_card_options *options, struct error *error);

#endif
