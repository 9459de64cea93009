#include "attention/reproduce/program/program.h"

int main(int argc, char** argv) { return tapir::program_main(argc, argv); }
