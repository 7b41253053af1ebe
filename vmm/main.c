/* casement: the program. */
#include "commands.h"

int main(int argc, char **argv)
{
    return casement_main(argc, argv);
}
