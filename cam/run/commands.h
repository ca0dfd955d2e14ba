/* commands.h - camrun's commands. Each reads its own command line, argv[0] being the command's name, complains of what is
 * wrong in one line on standard error, and returns the exit status (program.h). */
#ifndef CAMRUN_COMMANDS_H
#define CAMRUN_COMMANDS_H

int dream_main(int argc, char **argv);
int explain_main(int argc, char **argv);
int evaluate_main(int argc, char **argv);
int features_main(int argc, char **argv);
int filters_main(int argc, char **argv);
int maximise_main(int argc, char **argv);
int report_main(int argc, char **argv);
int saliency_main(int argc, char **argv);

#endif
