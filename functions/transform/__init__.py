import os

# numpy's linear algebra, which Transform does not use, starts a thread for each processor when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
