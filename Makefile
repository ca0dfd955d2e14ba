# make            build ./camrun, ./camtrain, ./camscenes and libcamrun.a
# make demo       explain the picture that ships, both of its objects, at several layers: demo.png
# make train-demo draw pictures and train the network that ships, anew: build/train-demo/shapes.bin
# make gallery    the README's gallery, in gallery/
# make check      build and run every test        make check-c   those that need no Python
#                                                 make check-isa   these with AVX2, and with portable kernels
#                                                 make check-neon  NEON kernels under qemu
# make bench      time every layer and network
# make evaluate   what maps are worth, on pictures with known answers: bench/EVALUATION.md
# make install    PREFIX=/usr/local DESTDIR=      make clean
# make help       this text
# Options: CC=clang, OMP=0 (no OpenMP: one thread), DEBUG=1 (ASan and UBSan), V=1 (show commands). Objects of each choice
# have their own folder.

MAKEFLAGS += --no-builtin-rules
ifeq ($(origin CC),default)
CC      := cc
endif
AR      ?= ar
PYTHON  ?= /usr/bin/python3
PREFIX  ?= /usr/local
OMP     ?= 1
DEBUG   ?= 0
VERSION := 0.1.0

V       ?= 0
Q       := $(if $(filter 1,$(V)),,@)

BUILD   := build/$(notdir $(CC))-omp$(OMP)-debug$(DEBUG)
# Pointers that wrap around are not looked for: an address that is used is checked, and gcc took 1.7 times as long for kernels.
SANITIZE := -fsanitize=address,undefined -fno-sanitize=pointer-overflow -fno-sanitize-recover=all
CFLAGS  ?= $(if $(filter 1,$(DEBUG)),-O2 -g $(SANITIZE),-O3 -g)
WARN    := -Wall -Wextra -Wshadow -Wconversion
FLAGS    = -std=gnu11 $(WARN) $(if $(filter 1,$(OMP)),-fopenmp,-Wno-unknown-pragmas) $(CFLAGS) \
           -D_POSIX_C_SOURCE=200809L -DCAMRUN_VERSION='"$(VERSION)"' -Iengine -Iweights -Icam -MMD -MP $(CPPFLAGS)
LINK     = $(CC) $(filter-out -MMD -MP,$(FLAGS)) $(LDFLAGS)

# The fast kernels: each source makes one object per instruction set.
MACHINE := $(shell $(CC) -dumpmachine)
ifneq ($(filter x86_64% amd64%,$(MACHINE)),)
KERNELS := portable avx2 avx512
else ifneq ($(filter aarch64%,$(MACHINE)),)
KERNELS := portable neon
else
KERNELS := portable
endif
# Products and sums become one operation: as the source has them, so that a kernel's copies for different widths round alike.
# gcc knows only `fast`, which may go further, and does not here (tests of equal bits).
CONTRACT := $(if $(findstring clang,$(shell $(CC) --version)),on,fast)
KERNEL_portable := -DVEC_BYTES=16 -DOC_VECS=4 -DTILE_PIXELS=2
KERNEL_neon     := -DVEC_BYTES=16 -DOC_VECS=4 -DTILE_PIXELS=6
KERNEL_avx2     := -DVEC_BYTES=32 -DOC_VECS=2 -DTILE_PIXELS=6 -march=x86-64-v3
KERNEL_avx512   := -DVEC_BYTES=64 -DOC_VECS=2 -DTILE_PIXELS=14 -march=x86-64-v4 -mprefer-vector-width=512

SHARED_SRC  := $(addprefix cam/,command_line.c interrupt.c picture_list.c program.c progress.c) # of all programs
HEADERS     := engine/engine.h engine/optimizer.h weights/file.h weights/weights.h $(patsubst %,cam/%.h,boxes camrun channels \
               classes colormap explain faithfulness grid html image map maximise metadata methods metrics npy perturb picture \
               randomize resize saliency sheet transform)
LIB_SRC     := $(filter-out $(SHARED_SRC) engine/kernels.c engine/training_kernels.c,\
               $(wildcard engine/*.c weights/*.c cam/*.c))
LIB_OBJ     := $(LIB_SRC:%.c=$(BUILD)/%.o) $(KERNELS:%=$(BUILD)/engine/kernels_%.o) \
               $(KERNELS:%=$(BUILD)/engine/training_kernels_%.o)
SHARED_OBJ  := $(SHARED_SRC:%.c=$(BUILD)/%.o)
CAMRUN_OBJ  := $(patsubst %.c,$(BUILD)/%.o,$(wildcard cam/run/*.c)) # of camrun alone
EXACT       := # see below
PROGRAMS    := camrun camtrain camscenes
TRAIN_OBJ   := $(patsubst %.c,$(BUILD)/%.o,$(filter-out %/main.c,$(wildcard cam/train/*.c)))
SCENES_OBJ  := $(patsubst %.c,$(BUILD)/%.o,$(filter-out %/main.c,$(wildcard cam/scenes/*.c)))
TESTS       := $(patsubst tests/%.c,%,$(wildcard tests/test_*.c))
TEST_BIN    := $(TESTS:%=$(BUILD)/tests/%)
TEST_HELP   := $(patsubst %.c,$(BUILD)/%.o,$(filter-out tests/test_%,$(wildcard tests/*.c)))

.SECONDARY: $(TEST_BIN:=.o) # kept; named, as with no names a header that is gone would rebuild nothing
.PHONY: all demo gallery train-demo evaluate check check-c check-isa check-neon check-build bench install clean help
all: $(PROGRAMS)

help:
	@sed -n '/^#/!q; s/^# //p' Makefile

define compile_kernels
	@mkdir -p $(@D)
	@echo "  CC $< for $*"
	$(Q)$(CC) $(FLAGS) -ffp-contract=$(CONTRACT) -DKERNELS=kernels_$* -DTRAINING_KERNELS=training_kernels_$* \
	    -DKERNELS_NAME='"$*"' $(KERNEL_$*) -c -o $@ $<
endef

# Looked at each time: another choice of options may have left it.
$(PROGRAMS): %: $(BUILD)/% FORCE
	@cmp -s $< $@ || cp $< $@
FORCE:
$(BUILD)/camrun: $(CAMRUN_OBJ)
$(BUILD)/camtrain: $(BUILD)/cam/train/main.o $(TRAIN_OBJ)
$(BUILD)/camscenes: $(BUILD)/cam/scenes/main.o $(SCENES_OBJ)
$(PROGRAMS:%=$(BUILD)/%): $(SHARED_OBJ) $(BUILD)/libcamrun.a
	@echo "  LD $@"
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lm
$(BUILD)/libcamrun.a: $(LIB_OBJ)
	@rm -f $@
	@echo "  AR $@"
	$(Q)$(AR) rcs $@ $^
# The report's style and script, as string literals that cam/html.c includes.
$(BUILD)/cam/html.o: $(BUILD)/cam/page/style.css.inc $(BUILD)/cam/page/script.js.inc
$(BUILD)/cam/html.o: FLAGS += -I$(BUILD)/cam/page
$(BUILD)/cam/image.o: FLAGS += -fno-sanitize=shift # stb's JPEG writer shifts into the sign
# Its formulas are indices, whose bounds are checked, as are addresses: to check pointers too would take 4 times as long.
$(BUILD)/engine/reference.o: FLAGS += -fno-sanitize=null,alignment
$(BUILD)/cam/page/%.inc: cam/page/%
	@mkdir -p $(@D)
	$(Q)sed 's/\\/\\\\/g; s/"/\\"/g; s/.*/"&\\n"/' $< > $@
$(BUILD)/engine/kernels_%.o: engine/kernels.c
	$(compile_kernels)
$(BUILD)/engine/training_kernels_%.o: engine/training_kernels.c
	$(compile_kernels)
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	$(Q)$(CC) $(FLAGS) $(EXACT) -c -o $@ $<
$(BUILD)/cam/scenes/%.o: EXACT := -ffp-contract=off # a scene's bits are the same everywhere
$(filter $(BUILD)/tests/test_camtrain%,$(TEST_BIN)): $(TRAIN_OBJ) $(SHARED_OBJ)
$(BUILD)/tests/test_picture_list: $(SHARED_OBJ)
$(BUILD)/tests/test_scenes: $(SCENES_OBJ) $(SHARED_OBJ)
$(TEST_BIN): %: %.o $(TEST_HELP) $(BUILD)/libcamrun.a
	@echo "  LD $@"
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) -lcmocka -lm

$(BUILD)/bench/ceilings_%.o: bench/ceilings.c
	@mkdir -p $(@D)
	@echo "  CC $< for $*"
	$(Q)$(CC) $(FLAGS) -ffp-contract=$(CONTRACT) -DCEILINGS=ceilings_$* -DKERNELS_NAME='"$*"' $(KERNEL_$*) -c -o $@ $<
$(BUILD)/bench/bench: $(BUILD)/bench/bench.o $(KERNELS:%=$(BUILD)/bench/ceilings_%.o) $(BUILD)/libcamrun.a
	@echo "  LD $@"
	$(Q)$(LINK) -o $@ $^ -lm

$(BUILD)/bench/training: $(BUILD)/bench/training.o $(BUILD)/libcamrun.a
	@echo "  LD $@"
	$(Q)$(LINK) -o $@ $^ -lm
# Where scripts find them, whatever they were built with.
build/bench build/training: build/%: $(BUILD)/bench/% FORCE
	@cmp -s $< $@ || cp $< $@

bench: $(BUILD)/bench/bench
	$< --layers

evaluate: camrun camscenes
	PYTHON='$(PYTHON)' sh bench/evaluate.sh

demo: camrun
	./camrun cam/demo/shapes.png --weights weights/shapes.bin --class top1,top2 --layer layer2,layer3,layer4 --sheet -o demo.png

train-demo: camscenes camtrain
	rm -rf build/train-demo
	sh scripts/train_demo.sh build/train-demo
	@if cmp -s build/train-demo/shapes.bin weights/shapes.bin; \
	then echo "the same bits as weights/shapes.bin"; \
	else echo "other bits than weights/shapes.bin, which gcc and AVX-512 write: another rounding, another network"; fi

gallery: all
	sh scripts/gallery.sh

check: all check-build
	OMP_WAIT_POLICY=passive sh tests/run.sh $(TEST_BIN) '$(PYTHON) -m pytest -q tests'
check-c: check-build
	OMP_WAIT_POLICY=passive sh tests/run.sh $(TEST_BIN)
# With lesser kernels than the best an x86 has; tests of all kernels in turn take these alone then.
check-isa: check-isa-avx2 check-isa-portable
check-isa-%: check-build
	OMP_WAIT_POLICY=passive CAMRUN_ISA=$* sh tests/run.sh $(TEST_BIN)
# The NEON kernels, and the bits of scenes, under an emulator: sh scripts/install_packages.sh neon
NEON_BIN := $(addprefix build/aarch64-linux-gnu-gcc-omp0-debug0/tests/,test_ops test_plan test_train test_scenes)
check-neon:
	$(MAKE) CC=aarch64-linux-gnu-gcc OMP=0 CPPFLAGS='-idirafter /usr/include' $(NEON_BIN)
	sh tests/run.sh $(NEON_BIN:%='qemu-aarch64 -L /usr/aarch64-linux-gnu %')
# ./camrun stays as it is: after tests with sanitizers, say, it is still the one that `make` left.
check-build: $(PROGRAMS:%=$(BUILD)/%) $(TEST_BIN)

install: all $(BUILD)/libcamrun.a
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/camrun
	install $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(BUILD)/libcamrun.a $(DESTDIR)$(PREFIX)/lib
	install -m 644 $(HEADERS) $(DESTDIR)$(PREFIX)/include/camrun
	printf '%s\n' 'prefix=$(PREFIX)' 'Name: camrun' 'Version: $(VERSION)' \
	    'Description: CNN inference, autodiff and class activation maps' \
	    'Cflags: -I$${prefix}/include/camrun' \
	    'Libs: -L$${prefix}/lib -lcamrun -lm$(if $(filter 1,$(OMP)), -fopenmp)' \
	    > $(DESTDIR)$(PREFIX)/lib/pkgconfig/camrun.pc

clean:
	rm -rf build $(PROGRAMS) demo.png

-include $(LIB_OBJ:.o=.d) $(CAMRUN_OBJ:.o=.d) $(SHARED_OBJ:.o=.d) $(TRAIN_OBJ:.o=.d) $(BUILD)/cam/train/main.d \
         $(SCENES_OBJ:.o=.d) $(BUILD)/cam/scenes/main.d $(wildcard $(BUILD)/bench/*.d) $(TEST_BIN:=.d) $(TEST_HELP:.o=.d)
