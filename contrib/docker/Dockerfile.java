# A Java service that becomes PID 1 through portwait. Choose it for a JRE without Python, with a shell or without
# (distroless); JVM flags go into JAVA_TOOL_OPTIONS, which every JVM reads by itself. Where they come in a variable
# that a shell has to split, take entrypoint-java instead.
#
#   docker build -t localhost/portwait-packed -f contrib/docker/Dockerfile.packed .
#   docker build -t localhost/orders -f contrib/docker/Dockerfile.java FOLDER           FOLDER has app.jar
#   docker run -p 8080:8080 localhost/orders
ARG PACKED=localhost/portwait-packed
ARG BASE=docker.io/library/eclipse-temurin:21-jre

FROM ${PACKED} AS packed

FROM ${BASE}
COPY --from=packed /opt/portwait /opt/portwait
COPY app.jar /app/app.jar
ENV PORTWAIT_TARGETS=8080
EXPOSE 8080
USER 65534:65534
# With its whole path: it has to find its own folder, also where PATH is not set.
ENTRYPOINT ["/opt/portwait/portwait", "--"]
CMD ["java", "-jar", "/app/app.jar", "8080"]
