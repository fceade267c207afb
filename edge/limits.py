"""Every bound on the devices' side of the wire, with its unit in the name and its reason beside it."""

# The connection
KEEP_ALIVE_S = 30  # the broker calls a silent device lost after one and a half of these
# TCP, TLS and MQTT together. A fleet that comes back at once advances together and is served within this (measured:
# 5,000 in 14 to 35 s); were all to give up sooner, at the same time, the broker would begin anew again and again.
CONNECT_TIMEOUT_S = 45.0
CLOSE_TIMEOUT_S = 2.0  # for the broker to answer a TLS goodbye
RECONNECT_FIRST_S = 0.5  # upper end of the first random wait; doubles with every failure
RECONNECT_MAX_S = 60.0
STEADY_AFTER_S = 10.0  # a connection that held this long makes the next failure a first one again
HANDSHAKES_AT_ONCE = 32  # per process: TLS handshakes cost the broker about 2 ms of CPU each
INFLIGHT_PUBLISHES_MAX = 64  # sent and not yet PUBACKed; the broker's own receive maximum may be lower
INCOMING_PACKET_BYTES_MAX = 64 * 1024
WRITE_BUFFER_BYTES_MAX = 64 * 1024  # unsent beyond this: stop publishing until the network took it

# Store and forward
UNACKED_MESSAGES_MAX = 256  # sent and not yet stored by the platform; also what one resend costs at most
ACK_STALL_S = 20.0  # no progress of platform acks for this long: send again. The platform acks twice a second
ACK_STALL_MAX_S = 300.0  # the wait doubles up to here while the platform stays silent
SPOOL_COMMIT_PERIOD_S = 0.2  # samples of all devices are written together; nothing is sent before it is on disk
SPOOL_BYTES_PER_DEVICE_MAX = 4 * 1024 * 1024  # four days of a meter every 10 s
SPOOL_BYTES_TOTAL_MAX = 512 * 1024 * 1024
ENTRY_OVERHEAD_BYTES = 48  # what a row costs besides its payload

# The simulator
SWEEP_PERIOD_S = 5.0  # how often stalls, faults and readiness are looked at
READY_SHARE = 0.9  # of the devices that can connect
READY_LATEST_S = 30.0  # then 90 % are enough; before, all of them are awaited
STOP_TIMEOUT_S = 5.0  # for all goodbyes together
RATE_NOTICE_LASTS_S = 120.0  # a request to slow down holds this long after its latest repetition
FAULT_S = 2 * 3600.0  # how long a fault that was asked for lasts
DEMO_FAULT_S = 4 * 3600.0
DEMO_HISTORY_DAYS = 30
SIMULATED_EVENTS_KEPT = 60  # of a device, for take_log: an afternoon of being told things
SIMULATED_EVENT_CHARS_MAX = 200
SIMULATED_LOCAL_INTERVALS_S = (20.0, 30.0, 60.0)  # what somebody beside a device might set it to

# The load generator
LOAD_TICK_S = 0.005  # how often what is due is sent
LOAD_CONNECT_TIMEOUT_S = 120.0  # a thousand handshakes take seconds; an overloaded machine takes longer
LOAD_WINDOW_CLOSED = 32  # unacked messages per device when there is no rate
LOAD_WINDOW_OPEN = 1_000  # with a rate, backlog waits here while the platform is behind

# The agent's inputs
INPUT_PERIOD_MIN_S = 1.0  # a Modbus device answers a round of registers in some hundred milliseconds
INPUT_PERIOD_MAX_S = 3_600.0
INPUT_TIMEOUT_S = 5.0  # for one answer of a device in the house
TOPIC_FILTERS_MAX = 20
REGISTERS_PER_INPUT_MAX = 200
RAW_BATCH_S = 2.0  # messages of a house broker go on together, this often
RAW_MESSAGES_PER_S_MAX = 50  # of one broker; a Venus OS with everything says about 20
RAW_PAYLOAD_BYTES_MAX = 16 * 1024  # a Shelly says 3 KiB, a Sparkplug birth of 200 metrics 12; the platform takes as much
RAW_BATCH_BYTES_MAX = 40 * 1024  # in base64 still well below the platform's largest message
VICTRON_KEEPALIVE_S = 30.0  # a Venus OS falls silent after 60 s without
SPARKPLUG_ASK_AGAIN_S = 60.0  # how often an edge node is asked for a birth at most: it then repeats all that it has
SPARKPLUG_ASK_AGAIN_MAX_S = 3_600.0  # ... doubled up to here while it does not answer
SPARKPLUG_NODES_MAX = 200  # of one broker; more are forwarded, but not asked
SPARKPLUG_DEVICES_PER_NODE_MAX = 1_000
SUNSPEC_MODEL_REGISTERS_MAX = 1_000  # of a model that we read; model 160 with 24 inputs has 490
SUNSPEC_MODELS_MAX = 50  # in one device; more is a register map that never ends
SUNSPEC_LIMIT_AGAIN_S = 60.0  # an inverter that does not keep its limit is told again so often: its memory wears out

# The agent
AGENT_REQUEST_TIMEOUT_S = 20.0  # one answer of the enrolment server, over a phone's hotspot in a cellar
AGENT_ANSWER_S = 120.0  # a whole answer of it, however slowly its bytes come
AGENT_ANSWER_BYTES_MAX = 256 * 1024  # certificates in base64 are about 4 KiB
AGENT_RETRY_FIRST_S = 1.0  # upper end of the first random wait; doubles with every failure
AGENT_RETRY_MAX_S = 60.0
AGENT_ENROL_PATIENCE_S = 900.0  # then `enrol` gives up; the same command again goes on
AGENT_CLOCK_WRONG_S = 24 * 3600.0  # further off than any time zone: nothing measured would be right, no certificate valid
AGENT_COMMIT_PERIOD_S = 1.0  # a commit waits for the disk, and SD cards wear out by such waits
AGENT_SPOOL_BYTES_MAX = 64 * 1024 * 1024  # two months of a meter every 10 s
AGENT_SPOOL_BYTES_MIN = 4 * 1024  # less than one message's room would hold nothing
AGENT_PENDING_SAMPLES_MAX = 2_000  # kept in memory while the disk takes nothing; then the oldest go
AGENT_MESSAGE_BYTES_MAX = 48 * 1024  # below the platform's 64 KiB, with its numbering
AGENT_WATCH_PERIOD_S = 5.0  # how often stalls, and what is to be logged once, are looked at
AGENT_INPUT_RETRY_FIRST_S = 1.0
AGENT_INPUT_RETRY_MAX_S = 60.0
AGENT_INPUTS_MAX = 32  # of one agent; each is a connection
AGENT_COMMANDS_KEPT = 256  # ids remembered, so that none is executed twice; those that have expired go first
AGENT_COMMAND_LINES_MAX = 1_024  # in the file of them, three of each, before it is written anew: every 300 commands or so
AGENT_COMMAND_DETAIL_CHARS_MAX = 500  # of why one failed
AGENT_LOG_LINES_KEPT = 500  # in memory, for take_log: a quiet week
AGENT_LOG_LINE_CHARS_MAX = 1_000  # a traceback's end says more than its middle; 500 such lines are half a megabyte
AGENT_LIMIT_PERIOD_S = 1.0  # how late a power limit begins or ends
AGENT_SITE_PERIOD_S = 1.0  # how often it looks whether somebody beside it has changed what it runs
AGENT_REPORT_INTERVAL_MIN_S = 1.0
AGENT_REPORT_INTERVAL_MAX_S = 3_600.0
AGENT_RENEWAL_WAIT_MAX_S = 24 * 3600.0  # between two tries while much of the certificate's life is left
AGENT_RENEWAL_WAIT_MIN_S = 3600.0  # ... and near its end
AGENT_REVOKED_WAIT_S = 6 * 3600.0  # a revoked device asks again so rarely: somebody may have erred
AGENT_LINK_REFUSED_WAIT_S = 900.0  # the broker's door, likewise
