-- A store of schema version 0001 as transfer-meta 0.1.0 wrote it: two tasks alone, one after and one with the other.
CREATE TABLE checkpoints (
    run_id INTEGER NOT NULL, 
    file VARCHAR NOT NULL, 
    size_bytes BIGINT NOT NULL, 
    kept BOOLEAN NOT NULL, 
    created DOUBLE NOT NULL, 
    CONSTRAINT pk_checkpoints PRIMARY KEY (run_id), 
    CONSTRAINT fk_checkpoints_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE, 
    CONSTRAINT uq_checkpoints_file UNIQUE (file)
);
CREATE TABLE curves (
    run_id INTEGER NOT NULL, 
    task VARCHAR NOT NULL, 
    steps BLOB NOT NULL, 
    losses BLOB NOT NULL, 
    dev_steps BLOB NOT NULL, 
    dev_losses BLOB NOT NULL, 
    dev_scores BLOB NOT NULL, 
    CONSTRAINT pk_curves PRIMARY KEY (run_id, task), 
    CONSTRAINT fk_curves_run_id FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "curves" VALUES(1,'trec',X'000000000000F03F000000000000004000000000000008400000000000001040',X'000000001459FD3F000000803985FB3F000000C08212FC3F0000000098F8FC3F',X'000000000000F03F000000000000004000000000000008400000000000001040',X'D7A3703D026EFC3FD7A3703DCA68FC3F333333339F65FC3F9A999999E163FC3F',X'E17A14AE47E1CA3FE17A14AE47E1CA3F713D0AD7A370CD3F295C8FC2F528CC3F');
INSERT INTO "curves" VALUES(2,'mpqa',X'000000000000F03F000000000000004000000000000008400000000000001040',X'000000605FBAE63F00000060BC0EE63F00000020BE88E63F000000205E37E63F',X'000000000000F03F000000000000004000000000000008400000000000001040',X'9A999999C98BE63F00000000247CE63F14AE47E10A72E63F5C8FC2F5646FE63F',X'48E17A14AE47D13F8FC2F5285C8FD23F8FC2F5285C8FD23FEC51B81E85EBD13F');
INSERT INTO "curves" VALUES(3,'trec',X'000000000000F03F000000000000004000000000000008400000000000001040',X'000000A00E63FD3F000000009D7DFB3F000000C0B30EFC3F0000004028FDFC3F',X'000000000000F03F000000000000004000000000000008400000000000001040',X'48E17A14F270FC3F1F85EB51B06BFC3FE17A14AE7F68FC3FA4703D0ABF66FC3F',X'9A9999999999C93F713D0AD7A370CD3FE17A14AE47E1CA3F713D0AD7A370CD3F');
INSERT INTO "curves" VALUES(6,'trec',X'00000000000000400000000000001440',X'00000000B556FD3F0000008056D9FB3F',X'00000000000000400000000000000840000000000000144000000000000018400000000000002040',X'52B81E857B70FC3F48E17A148E6FFC3F1F85EB51BC6CFC3FA4703D0A1B6CFC3FCDCCCCCCB86BFC3F',X'9A9999999999C93FE17A14AE47E1CA3F295C8FC2F528CC3F713D0AD7A370CD3F713D0AD7A370CD3F');
INSERT INTO "curves" VALUES(6,'mpqa',X'000000000000F03F0000000000000840000000000000104000000000000018400000000000001C400000000000002040',X'000000605FBAE63F00000020E9D7E53F00000020A394E63F00000040A156E63F000000C0EA0FE63F00000000D517E63F',X'',X'',X'');
CREATE TABLE runs (
    id INTEGER NOT NULL, 
    "key" VARCHAR(64) NOT NULL, 
    method VARCHAR NOT NULL, 
    source VARCHAR NOT NULL, 
    target VARCHAR NOT NULL, 
    regime VARCHAR NOT NULL, 
    seed INTEGER NOT NULL, 
    encoder VARCHAR NOT NULL, 
    encoder_revision VARCHAR NOT NULL, 
    settings JSON NOT NULL, 
    task_digests JSON NOT NULL, 
    start_key VARCHAR(64), 
    baseline_key VARCHAR(64), 
    status VARCHAR(8) NOT NULL, 
    reason VARCHAR NOT NULL, 
    worker VARCHAR NOT NULL, 
    token VARCHAR NOT NULL, 
    lease_until DOUBLE, 
    attempts INTEGER NOT NULL, 
    created DOUBLE NOT NULL, 
    started DOUBLE, 
    finished DOUBLE, 
    main_metric VARCHAR, 
    score DOUBLE, 
    scores JSON, 
    seconds DOUBLE, 
    tokens_per_second DOUBLE, 
    peak_memory_bytes BIGINT, 
    device VARCHAR, 
    versions JSON, 
    code_commit VARCHAR, 
    notes JSON, 
    CONSTRAINT pk_runs PRIMARY KEY (id), 
    CONSTRAINT ck_runs_status CHECK (status IN ('pending', 'running', 'done', 'failed', 'skipped')), 
    CONSTRAINT uq_runs_key UNIQUE ("key")
);
INSERT INTO "runs" VALUES(1,'322e38a82caa9973725a8e0d7fd99f5ee209dc93b8b7567b3f9766b55fcbaeea','single','','trec','60',0,'random:2x32','7b93cc4f23dfbfd869255ad772be031cd5eb7699561db72f6c6dd76450bc88b0','{"target": "trec", "seed": 0, "encoder": "random:2x32", "training": {"epochs": 1, "batch_size": 16, "learning_rate": 0.0001, "weight_decay": 0.01, "warmup_fraction": 0.1, "max_grad_norm": 1.0, "max_length": 256, "stride": 64, "dev_examples": 100, "evaluations": 5, "checkpoint": "last", "precision": "auto", "lora_rank": null, "compile": false}, "target_examples": 60, "sources": [], "source_examples": null, "mixing": null, "start": null}','{"trec": "e694df5057ba070bd161c974f7cdd176367fdadbbea436166bcdf9dee610b62a"}',NULL,NULL,'done','','host|1','17821907b1424d14a6928b388fe19de0',NULL,1,1.79565598595899343498e+09,1.79565598936601591105e+09,1.79565599674698567382e+09,'accuracy',0.126,'{"accuracy": 0.126, "macro_f1": 0.06740867579908676, "matthews": -0.05174633321969591}',7.32561941699987073661e+00,1.64046364210565366191e+03,638881792,'cpu: x86_64, 2 threads','{"python": "3.11.7", "transfer-meta": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.24.0", "tokenizers": "0.23.3", "numpy": "2.4.6"}','67ba9ac2b67c3761dbcf4a50b545a1292fe6d3d1','{"steps": 4, "micro_batches": 1, "best_step": 4, "examples": {"trec": 60}, "subsets": {"trec": "ab093fc16d714e03"}}');
INSERT INTO "runs" VALUES(2,'c8f541d017292ddc3c50e5eb4a49d059cc74fb05125e145910fd1ef66277dd11','single','','mpqa','60',0,'random:2x32','7b93cc4f23dfbfd869255ad772be031cd5eb7699561db72f6c6dd76450bc88b0','{"target": "mpqa", "seed": 0, "encoder": "random:2x32", "training": {"epochs": 1, "batch_size": 16, "learning_rate": 0.0001, "weight_decay": 0.01, "warmup_fraction": 0.1, "max_grad_norm": 1.0, "max_length": 256, "stride": 64, "dev_examples": 100, "evaluations": 5, "checkpoint": "last", "precision": "auto", "lora_rank": null, "compile": false}, "target_examples": 60, "sources": [], "source_examples": null, "mixing": null, "start": null}','{"mpqa": "1bb08e630fad8f3d835cb42ca60b727460bfa7d92e1ef7f907867626ab478e5b"}',NULL,NULL,'done','','host|1','33da69c127a34baca3c98e5749b6cee2',NULL,1,1.79565598595899343498e+09,1.79565599677301645283e+09,1.7956560069079847336e+09,'accuracy',0.341,'{"accuracy": 0.341, "macro_f1": 0.2966908182399341, "matthews": -0.005960401288273838}',1.01011541989998931967e+01,3.61875787728621332926e+02,664530944,'cpu: x86_64, 2 threads','{"python": "3.11.7", "transfer-meta": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.24.0", "tokenizers": "0.23.3", "numpy": "2.4.6"}','67ba9ac2b67c3761dbcf4a50b545a1292fe6d3d1','{"steps": 4, "micro_batches": 1, "best_step": 4, "examples": {"mpqa": 60}, "subsets": {"mpqa": "f3863b3941d3d119"}}');
INSERT INTO "runs" VALUES(3,'c1dfaba86bfa746416837afd02dd9541b64f2272bc98dbbd104779356b2dd275','intermediate','mpqa','trec','60-60',0,'random:2x32','7b93cc4f23dfbfd869255ad772be031cd5eb7699561db72f6c6dd76450bc88b0','{"target": "trec", "seed": 0, "encoder": "random:2x32", "training": {"epochs": 1, "batch_size": 16, "learning_rate": 0.0001, "weight_decay": 0.01, "warmup_fraction": 0.1, "max_grad_norm": 1.0, "max_length": 256, "stride": 64, "dev_examples": 100, "evaluations": 5, "checkpoint": "last", "precision": "auto", "lora_rank": null, "compile": false}, "target_examples": 60, "sources": [], "source_examples": null, "mixing": null, "start": {"target": "mpqa", "seed": 0, "encoder": "random:2x32", "training": {"epochs": 1, "batch_size": 16, "learning_rate": 0.0001, "weight_decay": 0.01, "warmup_fraction": 0.1, "max_grad_norm": 1.0, "max_length": 256, "stride": 64, "dev_examples": 100, "evaluations": 5, "checkpoint": "last", "precision": "auto", "lora_rank": null, "compile": false}, "target_examples": 60, "sources": [], "source_examples": null, "mixing": null, "start": null}}','{"mpqa": "1bb08e630fad8f3d835cb42ca60b727460bfa7d92e1ef7f907867626ab478e5b", "trec": "e694df5057ba070bd161c974f7cdd176367fdadbbea436166bcdf9dee610b62a"}','c8f541d017292ddc3c50e5eb4a49d059cc74fb05125e145910fd1ef66277dd11','322e38a82caa9973725a8e0d7fd99f5ee209dc93b8b7567b3f9766b55fcbaeea','done','','host|1','94df6d6a81c14087b22829c453aa79bf',NULL,1,1.79565598595899343498e+09,1.79565600692600917812e+09,1.79565601802399754521e+09,'accuracy',0.132,'{"accuracy": 0.132, "macro_f1": 0.06671802610888905, "matthews": -0.029988630761318195}',1.10795106979999218315e+01,703.29909161901,684224512,'cpu: x86_64, 2 threads','{"python": "3.11.7", "transfer-meta": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.24.0", "tokenizers": "0.23.3", "numpy": "2.4.6"}','67ba9ac2b67c3761dbcf4a50b545a1292fe6d3d1','{"steps": 4, "micro_batches": 1, "best_step": 4, "examples": {"trec": 60}, "subsets": {"trec": "ab093fc16d714e03"}}');
INSERT INTO "runs" VALUES(6,'6f44f4003141daf43ebfcf8eae87bb052bb536b6639c322207edda036f4ce3de','multitask','mpqa','trec','60-60',0,'random:2x32','7b93cc4f23dfbfd869255ad772be031cd5eb7699561db72f6c6dd76450bc88b0','{"target": "trec", "seed": 0, "encoder": "random:2x32", "training": {"epochs": 1, "batch_size": 16, "learning_rate": 0.0001, "weight_decay": 0.01, "warmup_fraction": 0.1, "max_grad_norm": 1.0, "max_length": 256, "stride": 64, "dev_examples": 100, "evaluations": 5, "checkpoint": "last", "precision": "auto", "lora_rank": null, "compile": false}, "target_examples": 60, "sources": ["mpqa"], "source_examples": 60, "mixing": {"sampling": "uniform", "temperature": 2.0, "weights": []}, "start": null}','{"mpqa": "1bb08e630fad8f3d835cb42ca60b727460bfa7d92e1ef7f907867626ab478e5b", "trec": "e694df5057ba070bd161c974f7cdd176367fdadbbea436166bcdf9dee610b62a"}',NULL,'322e38a82caa9973725a8e0d7fd99f5ee209dc93b8b7567b3f9766b55fcbaeea','done','','host|1','9148d8f930c7473396caf073696a37cb',NULL,1,1.79565598595899343498e+09,1.79565605274998092658e+09,1.79565605602101540563e+09,'accuracy',0.128,'{"accuracy": 0.128, "macro_f1": 0.0673992673992674, "matthews": -0.05566421696778611}',3.26098664200003440782e+00,2.46309353569627410254e+03,798662656,'cpu: x86_64, 2 threads','{"python": "3.11.7", "transfer-meta": "0.1.0", "torch": "2.13.0+cpu", "transformers": "5.24.0", "tokenizers": "0.23.3", "numpy": "2.4.6"}','67ba9ac2b67c3761dbcf4a50b545a1292fe6d3d1','{"steps": 8, "micro_batches": 1, "best_step": 8, "examples": {"trec": 60, "mpqa": 60}, "subsets": {"trec": "ab093fc16d714e03", "mpqa": "f3863b3941d3d119"}}');
CREATE TABLE transfer_meta_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT transfer_meta_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "transfer_meta_version" VALUES('0001');
CREATE TABLE vectors (
    id INTEGER NOT NULL, 
    "key" VARCHAR(64) NOT NULL, 
    component VARCHAR NOT NULL, 
    kind VARCHAR NOT NULL, 
    task VARCHAR NOT NULL, 
    task_digest VARCHAR(64) NOT NULL, 
    encoder VARCHAR NOT NULL, 
    encoder_revision VARCHAR NOT NULL, 
    settings JSON NOT NULL, 
    data BLOB NOT NULL, 
    CONSTRAINT pk_vectors PRIMARY KEY (id), 
    CONSTRAINT uq_vectors_key UNIQUE ("key", component)
);
CREATE INDEX ix_runs_start_key ON runs (start_key);
CREATE INDEX ix_runs_status ON runs (status);
CREATE INDEX ix_vectors_task_digest ON vectors (task_digest);
