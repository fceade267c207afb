"""The bounds that more than one file keeps, each with its unit in the name and its reason beside it."""

SLOTS = 256  # fixed for ever: a site's slot stands in its devices' topics

# What one message may be
PAYLOAD_BYTES_MAX = 64 * 1024  # broker's max_packet_size as well; a backlog message of 200 samples is ~20 KiB
SAMPLES_PER_MESSAGE_MAX = 500
MEASURES_PER_SAMPLE_MAX = 64  # a three-phase hybrid inverter with 12 strings reports about 50
READING_ABS_MAX = 1e13  # 10 TWh in Wh: nothing that we meter counts further
FUTURE_SKEW_MAX_S = 300  # clocks of cheap loggers wander by minutes; what is later is quarantined
RETENTION_DAYS = 400  # raw samples: a year to compare with, and a month to repair; a message's older ones are refused
HISTORY_DAYS = 11 * 366  # samples from files: a decade of minutes is little, and totals are made of them

# Mosquitto
BROKER_PACKET_HEADROOM_BYTES = 1_024  # fixed header, topic (at most ~150) and MQTT 5 properties around the payload
BROKER_QUEUED_MESSAGES_MAX = 1_000_000  # per offline or slow client; the default of 1,000 drops what it has acked (measured)
BROKER_QUEUED_BYTES_MAX = 1024**3  # the same bound in memory: about a minute of full intake while a shard restarts
BROKER_DEVICES_MAX = 20_000  # connections on the device listener; each is a file descriptor and ~20 KiB with TLS
BROKER_AUTOSAVE_S = 60  # how often it writes sessions and queues; devices keep their data until the platform ack anyway

# How a shard takes messages in
INFLIGHT_MESSAGES_MAX = 4_000  # the broker's window per client: unacked messages that a shard can hold
BATCH_MESSAGES_MAX = 500  # one transaction; more is hardly faster, and the pieces of it that cannot yield hold up asks
BATCH_AGE_MAX_S = 0.05  # a lone message waits this long for company before it is committed
SLICE_MESSAGES_MAX = 32  # decoded between two awaits: about half a millisecond, so that an ask never waits long
SLICE_PUBLISHES_MAX = 8  # live views and acks made and sent between two awaits: as long
COMMIT_TIMEOUT_S = 30.0  # per statement of a batch: a database that vanished without a word, not one that is slow
COMMIT_RETRY_S = (0.1, 0.5, 1.0, 2.0, 5.0)  # while PostgreSQL is away; the last one repeats
DEVICE_MESSAGES_PER_S = 50.0  # sustained, per device; ten times the fastest profile
DEVICE_MESSAGES_BURST = 3_000  # a backlog after an outage comes fast and is welcome
THROTTLE_NOTICE_S = 30.0  # how often an over-eager device is told to slow down
DEAD_LETTERS_PER_DEVICE_PER_MIN = 30  # stored; more are counted only, so a broken device cannot fill the disk
DEAD_LETTER_HEAD_BYTES = 1_024
DEAD_LETTER_KEEP_DAYS = 30
SEQUENCE_MAX = 2**53  # what JSON readers still tell apart, and far below PostgreSQL's bigint
STREAM_CHARS_MAX = 64  # kept per twin
DEVICE_INFO_CHARS_MAX = 200  # model, firmware, boot: kept per twin
SEQUENCE_GAP_MAX = 4_096  # sequence numbers kept beyond a gap; past it the twin forgets and the device sends again

# Twins in memory
TWINS_PER_SHARD_MAX = 200_000  # ~6 KB each: 1.2 GB
TWIN_IDLE_S = 7_200.0  # a night empties most of the fleet
LOAD_BATCH_TWINS = 5_000
SNAPSHOT_PERIOD_S = 10.0
SNAPSHOT_BATCH_TWINS = 200  # in one statement; about a millisecond of the shard

# Feeds and sweeps
ACK_PERIOD_S = 0.5  # platform acks are cumulative: one per device and period is enough
LIVE_PERIOD_S = 1.0
LIVE_SITES_PER_S = 500  # per shard; a larger fleet's feeds get slower, never the intake
SWEEP_PERIOD_S = 5.0
BROKER_LOG_PERIOD_S = 2.0
HOUSEKEEPING_PERIOD_S = 3_600.0  # partitions ahead, retention
RESTART_GRACE_S = 90.0  # after a shard's start nobody is called offline before the fleet had time to speak
ROLLUP_PERIOD_S = 30.0  # the day's totals; live values come by the feed
ROLLUP_REST = 4.0  # times as long as the last round took, while messages wait: at most a fifth of a busy shard
ROLLUP_DAYS_PER_ROUND = 50
ROLLUP_SAMPLES_AT_ONCE = 10_000  # of as many days as they make; a single day may have more: 8,640 each ten-second device
COUNTER_GAP_MAX_DAYS = 62  # across a longer silence a counter's growth cannot honestly be given to days: unknown
PARTITIONS_AHEAD_DAYS = 7

# Asks
ASK_TIMEOUT_S = 5.0
BULK_SAMPLES_MAX = 20_000  # per call through the bulk door
BULK_TIMEOUT_S = 60.0
BULK_AT_ONCE = 2  # blocks of one shard that PostgreSQL stores at a time; more only wait for a core
BULK_REST = 2.0  # times as long as the last block took, while devices speak: a third of a backend at most
BULK_QUIET_MS = 1_000  # without a message for so long, nobody is kept waiting
SSE_QUEUE_EVENTS_MAX = 64  # per browser; a slower one skips to the newest state
SSE_CLIENTS_MAX = 2_000
SSE_CLIENTS_PER_PERSON_MAX = 50  # tabs, wall displays and scripts of one account
SSE_HEARTBEAT_S = 15.0  # below the idle limits of common proxies (60 s)
SSE_RECHECK_S = 30.0  # a revoked session's stream ends within a minute

# What the web takes and gives
REQUEST_BYTES_MAX = 256 * 1024  # the largest body is a form; uploads get their own bound
PAGE_ITEMS = 50
PAGE_ITEMS_MAX = 200
SAMPLES_PER_PAGE_MAX = 2_000
SAMPLE_RANGE_DAYS_MAX = 31
ENERGY_STEPS_MAX = 40_000  # 400 days of quarter-hours; ~4 MB of JSON
WEB_POOL_CONNECTIONS = 8  # requests hold one for milliseconds; never while they wait for a twin
FLEET_STATS_PERIOD_S = 2.0

# People
ACCESS_TOKEN_S = 15 * 60
SESSION_DAYS = 30
SESSIONS_PER_PERSON_MAX = 100  # signed in on many browsers and scripts; the least used are signed out
REFRESH_GRACE_S = 10.0  # two tabs of one browser renew at once; the loser comes with the token before
PASSWORD_CHARS_MIN = 10
PASSWORD_CHARS_MAX = 256  # argon2 reads all of it
PASSWORD_CHECKS_AT_ONCE = 2  # 64 MiB and a core each
PASSWORD_CHECKS_WAITING_MAX = 20  # more is an attack or a storm; they get 503 and come back
LOGIN_WINDOW_S = 900.0
LOGIN_FAILURES_PER_PAIR = 5  # of one account from one address
LOGIN_FAILURES_PER_ACCOUNT = 50  # from anywhere: high, so that a stranger cannot lock somebody out cheaply
LOGIN_FAILURES_PER_ADDRESS = 50  # a whole office may sit behind one
AUTH_REQUESTS_PER_MIN = 120  # per address
ATTEMPT_KEYS_MAX = 50_000  # ~10 MB; the oldest are forgotten first

# Health
SILENT_INTERVALS = 3  # one report lost and one late are no news
SILENT_MIN_S = 60.0  # a reconnect takes that long
FIRST_CONTACT_S = 86_400.0  # from a device's registration to its first word: the installer's day
SUN_WAKES_MIN_DEG = 8.0  # thick cloud then leaves about 25 W/m2: inverters start in the morning, and stop, near that

# Alerts
TOTAL_OUTAGE_AFTER_S = 1_800.0
NEGATIVE_LOAD_AFTER_S = 300.0  # readings of two devices are seconds apart, and a cloud's edge passes within a minute
NEGATIVE_LOAD_CLEAR_S = 86_400.0  # a reversed clamp shows only when enough flows; it does not turn around by itself
ALERT_CLEAR_S = 120.0  # an alert resolves after its finding stayed away for so long
ALERT_CLEAR_MAX_S = 3_600.0  # ... doubled at each return, up to this: what flaps all day tells so at most once an hour
ALERT_RECUR_S = 3_600.0  # a finding that returns sooner than this after its resolution is flapping

# The single machine's launcher
DISK_FREE_MIN_BYTES = 512 * 1024 * 1024  # a new cluster and its first write-ahead log; less is full tomorrow
RESTART_DELAYS_S = (1.0, 2.0, 4.0, 8.0, 16.0)  # a process that keeps ending inside one window is broken: everything stops
RESTART_WINDOW_S = 600.0
DEMO_SITES_MAX = 2_000  # each device is a certificate and a connection; a laptop's broker and simulator carry about 5,000
DEMO_HISTORY_DAYS = 30
DEMO_HISTORY_STEP_S = 300  # the energy model needs quarter-hours; five minutes draw a good curve

# Onboarding
CLAIM_HOURS = 24  # from the code on the screen to the device's request
CLAIM_HOURS_MAX = 14 * 24  # a device prepared in the workshop for next week
CLAIM_WRONG_TRIES_MAX = 10  # typing errors; then the claim is dead and a new one is a tap away
CLAIMS_OPEN_PER_SITE_MAX = 50
EST_REQUEST_BYTES_MAX = 16 * 1024  # a P-256 request in base64 is about 600 bytes, an RSA-4096 one 2,400
EST_REQUESTS_AT_ONCE = 64  # more get 503 and Retry-After; each holds a database connection for milliseconds
EST_REQUESTS_PER_MIN = 600  # per address, of those that fail: a wholesaler's bench sits behind one
EST_POOL_CONNECTIONS = 8
EST_CONNECTIONS_MAX = 1_000  # ~100 KiB each with TLS
EST_HANDSHAKE_S = 10.0  # a device on a bad mobile network needs two or three
EST_REQUEST_S = 10.0  # from the handshake, or the last answer, to a whole request
EST_HEADER_BYTES_MAX = 16 * 1024
ARRAYS_PER_SITE_MAX = 12  # orientations of a roof
WAITING_SOURCES_PER_GATEWAY_MAX = 200  # unknown serials that are remembered; a Modbus line has 247 addresses
WAITING_SOURCE_PERIOD_S = 10.0  # how often one of them is written down again
RAW_PER_MESSAGE_MAX = 200  # third-party messages in one up/telemetry
RAW_TOPIC_CHARS_MAX = 300  # of such a message
RAW_PAYLOAD_BYTES_MAX = 16 * 1024  # of such a message; a Shelly's full status is 3 KiB
RAW_GRID_S = 10.0  # values that come one by one within it become one row
RAW_CLOCKS_SINCE_MS = 1_577_836_800_000  # 2020: a clock that says less was never set, it counts from its own start
LOCAL_NAMES_PER_GATEWAY_MAX = 100  # of which it is remembered in which format they came; a house has a few dozen devices
RAW_NAME_CHARS_MAX = 28  # of a serial that is made of a topic: the gateway's id goes before it
MEMORY_ENTRIES_PER_SENDER_MAX = 500  # what a codec learned of one gateway: a house's meters have a few dozen values
MEMORY_BYTES_PER_SENDER_MAX = 128 * 1024  # ... each about 200 bytes; held with the twin, read anew at each start
SPARKPLUG_METRICS_MAX = 1_000  # in one payload; with their names so many do not fit into a raw message
DISCOVERY_COMPONENTS_MAX = 200  # announced in one message; a hybrid inverter has about 60
TEMPLATE_CHARS_MAX = 300  # of a value template; those that pick a number out of a message have 20 to 80
TEMPLATE_DEPTH_MAX = 8  # brackets within brackets
SENML_NAME_CHARS_MAX = 200  # base name and name together; those of the RFC's examples have 40
SENML_RECORD_BYTES_MAX = 64 * 1024  # of a file; a record of binary data may be long, one of a reading has 60 bytes
SENML_NAMES_MAX = 1_000  # of a file, that are told to be left out
CBOR_FIELDS_MAX = 32  # of one record; SenML has 15
MEMORY_KEY_CHARS_MAX = 340  # a topic, and what it is remembered for
WAITING_WRITE_PERIOD_S = 2.0  # a serial that is new to us is on the installer's screen after this long
WAITING_FORGOTTEN_AFTER_S = 3_600.0  # in memory; the database remembers
WAITING_LETTERS_PER_S = 5.0  # messages kept of one gateway, sustained: ten times what an agent sends
WAITING_LETTERS_BURST = 3_000  # an outage's backlog
WAITING_BYTES_PER_GATEWAY_MAX = 64 * 1024 * 1024  # of what is kept
SERIAL_CHARS_MIN = 3
SERIAL_CHARS_MAX = 40  # GS1 allows 20, makers' longest are about 30
WAITING_LETTERS_PER_GATEWAY_MAX = 50_000  # messages kept for serials that nobody has attached; the oldest go first
WAITING_PLACE_AT_ONCE = 200  # of these messages, read and stored in one piece
FRESH_CODE_S = 900.0  # a code can be shown again for so long, to whoever's answer was lost; then only its hash is left
FRESH_CODES_MAX = 2_000
REPORT_TIMEOUT_S = 20.0  # a report takes a second; a site with 500 devices, three
REPORT_PAGES_AT_ONCE = 2  # each takes a core and up to 200 MB
PROFILE_SITES_AT_ONCE = 8  # twins that are built anew at the same time after a profile has changed
CHECK_RECENT_S = 900.0  # what the commissioning checks judge by: enough for a device that reports once a minute
CHECK_SAMPLES_MAX = 200  # of one device
CHECK_REFUSALS_MAX = 50  # of one device
REPORTS_PER_SITE_AND_DAY_MAX = 20  # each is kept for ever, and mailed
INVITATION_DAYS = 14
MAIL_ATTEMPTS_MAX = 12  # with the waits between them, about two days
MAIL_SUBJECT_CHARS_MAX = 200
MAIL_RETRY_S = (10.0, 60.0, 300.0, 1_800.0, 3_600.0, 4 * 3_600.0)  # the last one repeats
MAIL_TIMEOUT_S = 30.0  # per command of SMTP; greylisting servers take their time
MAIL_GOODBYE_S = 10.0  # a mail that is under way when we are told to stop may still arrive, and be marked as sent
CORRECTIONS_PER_DEVICE_MAX = 50  # in force at once; each cuts its counters' series in two
CORRECTIONS_PERIOD_S = 15.0  # how late one counts that the twins were not told of
CORRECTION_FACTOR_MAX = 1e6  # and its inverse: mW told as kW is the worst that we can think of
CLOCK_CORRECTION_MAX_S = 10 * 366 * 86_400  # a device that woke up at its firmware's birthday
PROFILE_BYTES_MAX = 32 * 1024

# Remote configuration and commands
SETTINGS_PER_DEVICE_MAX = 100  # a hybrid inverter's installer menu has about 60
SETTING_TEXT_CHARS_MAX = 200
SETTING_KEY_CHARS_MAX = 80  # input.<name> of an agent has at most 66
REPORT_INTERVAL_MAX_S = 86_400.0  # that a device may claim: its silence is noticed after three of them at the latest
CONFIG_LAYERS_MAX = 10  # of one device; of more, those go that others cover. What nothing else sets stays, one a setting
CONFIG_VERSION_AHEAD_MAX = 1_000_000  # a device may know more than a database that was restored; beyond this it is garbage
CONFIG_RESEND_S = (5.0, 15.0, 60.0, 300.0, 900.0)  # to a device that is there and says nothing; the last one repeats
CONFIG_REPORTS_PER_H = 60.0  # of one device, that are written down each; of one that flaps, the newest state still is
CONFIG_SPARED_PER_DAY = 6.0  # versions for what was changed on site; of a value that moves by itself, no more
COMMANDS_OPEN_PER_DEVICE_MAX = 50  # an ops' evening; more waiting for one device is a script that went mad
COMMAND_ARGS_BYTES_MAX = 4 * 1024
COMMAND_EXPIRES_S = 300.0  # unless somebody says otherwise
COMMAND_EXPIRES_MIN_S = 5.0
COMMAND_EXPIRES_MAX_S = 7 * 86_400.0  # a device that comes back on Monday
COMMAND_ANSWER_GRACE_S = 15.0  # an answer that was under way when time ran out
COMMAND_RESEND_S = (5.0, 10.0, 20.0, 30.0)  # to a device that is there and does not answer; after the last it is given up
COMMAND_DETAIL_BYTES_MAX = 16 * 1024  # of a device's answer, that is kept; a log's tail
COMMANDS_KEPT_DAYS = 400  # a year ago is still there to be compared with; their receipts stay for ever
CONFIG_VERSIONS_KEPT = 1_000  # of one device: a change every working day for four years
ORDERS_LET_GO_AT_ONCE = 10_000  # old commands in one statement: it stays short, whatever there is
PUBLISHES_INFLIGHT_MAX = 500  # configurations and commands that the broker has not acked; the rest waits in the client
ORDERS_AT_ONCE = 500  # changes and answers in one transaction
ORDERS_TIMEOUT_S = 10.0  # of a piece of a selection: a transaction of so many takes a tenth of it
ORDERS_STORE_TIMEOUT_S = 6.0  # then whoever asked is told that nobody knows yet; below the ask's own limit
ORDERS_FORGOTTEN_MAX = 500  # commands of twins that are not live, looked for at a time
ORDERS_FORGOTTEN_PERIOD_S = 30.0
ORDERS_WAITING_MAX = 5_000  # of asks; beyond it they are refused: try again
ORDERS_ROUND_S = 0.5  # how late a deadline may be noticed
RECEIPTS_AT_ONCE = 1_000  # lines in memory while the journal is verified: 20 MB, should each hold a whole configuration
RECEIPTS_NAMED_MAX = 20  # steps without a receipt that are named; of more, the number is told
BULK_TARGETS_MAX = 20_000  # devices of one bulk command or rollout
ROLLOUT_WAVES_MAX = 10
ROLLOUT_PER_MINUTE_MAX = 12_000  # 200/s: a tenth of what the shards store
ROLLOUT_OBSERVE_S_MAX = 14 * 86_400.0
ROLLOUT_TIMEOUT_S_MIN = 10.0  # the second publishing comes after 5 s
ROLLOUT_TIMEOUT_S_MAX = 7 * 86_400.0
ROLLOUT_ENERGY_WAIT_S_MAX = 14 * 86_400.0  # a fortnight of fog
ROLLOUT_TOLD_AT_ONCE_MAX = 400  # in one step: twice what its limit lets it tell in a second
ROLLOUT_PIECE_MAX = 200  # asked of the twins at a time
ROLLOUT_STEP_S = 1.0
ROLLOUT_LOOKED_AT_MAX = 5_000  # targets in one step; the others in the next ones
ROLLOUT_HELD_LOOK_S = 60.0  # how often the window of a device that is held is looked at
ROLLOUT_SILENCE_LOOK_S = 10.0  # how often those that went silent are compared with the others: it reads thousands of rows
ROLLOUT_SILENCE_OTHERS_MIN = 3  # others that are gone too, before that excuses anybody: one or two always are
ROLLOUT_SILENCE_PUT_OFF_S_MAX = 86_400.0  # then it is counted, whatever the others do
ROLLOUT_OTHERS_COMPARED_MAX = 1_000  # the share of these that is gone is known to 3 %
ROLLOUT_HEARD_LATE_S = 1_200.0  # how long before it went a device may have been heard last: slow profiles say little
ROLLOUT_NEWCOMERS_S = 60.0  # how often a continuous rollout looks for devices that have joined
ROLLOUT_FOLLOWED_DAYS = 30  # after its end, for devices that are still away, or absent: those are not told later
ROLLOUT_FOLLOW_S = 60.0
ROLLOUT_WINDOW_WAIT_S = 86_400.0  # for somebody to be there while its window is open: there is one every day
ROLLOUT_POWER_AGE_S_MAX = 1_200.0  # of what a site last said that it produces; slow profiles report every 15 minutes
ROLLOUT_ENERGY_LOOK_S = 300.0  # how often the canaries' yield is looked at: it is compared over whole quarters of an hour
ROLLOUT_ENERGY_SPAN_S_MAX = 86_400.0  # of samples that are compared, before and after
ROLLOUT_ENERGY_DAYS_BACK = 14  # of these days before it began, the last one with sun is what it is compared with
ROLLOUT_CANARIES_COMPARED_MAX = 20  # a day of their samples every 10 s is 170,000 rows
ROLLOUT_NEIGHBOURS_COMPARED_MAX = 60
ROLLOUT_NEIGHBOUR_KM_MAX = 50.0  # under about the same sky
CONFIRM_TARGETS = 20  # a selection of more devices asks for confirmation with the count
IDEMPOTENCY_KEY_CHARS_MAX = 100  # a UUID with a name before it
COMMAND_WAIT_S_MAX = 30.0  # of one ask for news of a command; below the idle limits of common proxies (60 s)
COMMAND_WAITS_MAX = 500  # of such asks in one process; beyond it they are answered at once
COMMAND_WAITS_PER_PERSON_MAX = 100  # a script that follows a selection; the others keep their places
BATCH_COMMANDS_SHOWN = 50  # of a bulk command, on its page; the list behind it holds all
TARGET_VALUES_MAX = 200  # of one field of a query; there are 101 departments
TARGET_DEVICES_MAX = 1_000  # named one by one; whoever means more has something in common to say
TARGET_CHOICES_MAX = 60  # of one field, that a form offers; the rest is asked for by other fields
TARGET_TEXT_CHARS_MAX = 200  # of a model, a firmware, a department; as long as a device may say them
TARGET_SILENCE_S_MAX = 10 * 366 * 86_400.0  # as long as history is kept, about
TAGS_PER_DEVICE_MAX = 20
TAGS_OFFERED = 50  # to whoever types one
GROUPS_MAX = 500  # more is nobody's overview
GROUP_NAME_CHARS_MAX = 80
GROUP_PREVIEW_DEVICES = 10  # shown beside the count

# Backups
ARCHIVE_PIECE_BYTES = 4 * 1024 * 1024  # of rows, as one entry: what writing and reading an archive hold in memory
ARCHIVE_DISK_FREE_MIN_BYTES = 512 * 1024 * 1024  # left to whoever else lives on that disk, PostgreSQL first
ARCHIVE_SHRINKS_TO = 0.5  # of a database's size on its disk, indexes included; measured: a fifth, and less
RESTORE_GROWS_TO = 2.0  # of the same: the rows, and their write-ahead log
RESTORE_PATIENCE_S = 60.0  # for a PostgreSQL that starts again meanwhile, before what failed is left as it is
PASSPHRASE_CHARS_MIN = 12
SNAPSHOTS_KEPT = 3  # of those before upgrades; each is as large as a backup without files
BUNDLE_BYTES_MAX = 10 * 1024 * 1024  # a support bundle still goes through every mail server
BUNDLE_LOG_BYTES_MAX = 256 * 1024  # of one log's end, before it is packed

# Certificates
CRL_PERIOD_S = 3_600.0  # signed anew also when nothing changed
CRL_LIFE_S = 72 * 3_600.0  # an expired list shuts everybody out: a long weekend without the authority is survived
CRL_ALARM_BEFORE_S = 24 * 3_600.0  # a list that is not renewed is told so long before it ends
CRL_BYTES_MAX = 16 * 1024 * 1024  # ~400,000 entries
CANARY_PERIOD_S = 30.0  # how long the broker may be open to a revoked certificate before somebody notices
GUARD_RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0)  # a step of a revocation that did not work; the last one repeats
AUTHORITY_WAIT_S = 10.0  # from a request to a signed list; one takes a second, whoever is away longer than this is told of
GUARD_KICKS_AT_ONCE = 8  # handshakes on the internal listener
GUARD_PROBE_TIMEOUT_S = 3.0  # a handshake and a CONNECT on an overloaded broker
