-- Placeholder of branch daily: the file of branch quality takes its place when it is merged. The numbers of migrations
-- have no gap.
SELECT;
